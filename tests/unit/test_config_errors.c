/* SPDX-License-Identifier: MIT */
/* test_config_errors: every way in which config.yaml is refused, by exact message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config_text.h"

#define TARGET(target) "routes:\n- {fqdn: a.b, type: simple, target: '" target "'}\n"
#define DNS_NAME "must be a DNS name of letters, digits, - and _ (others as xn--), *.NAME or *"
#define TARGET_MUST "must be IP:PORT, [IPv6]:PORT or NAME:PORT"
#define LISTENER_MUST "must be IP:PORT, [IPv6]:PORT, or *:PORT for every address"
#define PORTS_MUST "must be LOW-HIGH or LOW-HIGH,LOW-HIGH, from 1024 to 65535"
#define HOST_MUST "must be HOST, HOST:PORT, IP, IP:PORT, [IPv6] or [IPv6]:PORT"
#define INTERFACE_MUST "must be an interface name: 1 to 15 characters without /, : and blanks"
#define TOP_KEYS "udp, listeners, fast_path, xdp, relay, limits, api, redis, agones, quic_lb, firehose, log, routes"
#define NO_ALIASES "anchors and aliases are not supported"

static const struct error_row error_rows[] = {
	/* types and ranges */
	{ "number below its range", "limits:\n  sessions: 3\n",
	  "c.yaml:2: limits.sessions: 3: must be an integer from 64 to 4194304\n" },
	{ "number above its range", "limits: {sessions: 4194305}",
	  "c.yaml:1: limits.sessions: 4194305: must be an integer from 64 to 4194304\n" },
	{ "number beyond 32 bits", "udp: {port: 4294967739}",
	  "c.yaml:1: udp.port: 4294967739: must be an integer from 1 to 65535\n" },
	{ "number beyond 64 bits", "udp: {port: 18446744073709552059}",
	  "c.yaml:1: udp.port: 18446744073709552059: must be an integer from 1 to 65535\n" },
	{ "number negative", "udp: {port: -1}", "c.yaml:1: udp.port: -1: must be an integer from 1 to 65535\n" },
	{ "number with a fraction", "udp: {port: 1.5}",
	  "c.yaml:1: udp.port: 1.5: must be an integer from 1 to 65535\n" },
	{ "number octal or not", "udp: {port: 0443}",
	  "c.yaml:1: udp.port: 0443: must be an integer from 1 to 65535\n" },
	{ "number in quotes", "udp: {port: \"443\"}",
	  "c.yaml:1: udp.port: \"443\": must be an integer from 1 to 65535\n" },
	{ "number in empty quotes", "udp: {port: ''}",
	  "c.yaml:1: udp.port: \"\": must be an integer from 1 to 65535\n" },
	{ "number as a list", "udp: {port: [1]}", "c.yaml:1: udp.port: [...]: must be an integer from 1 to 65535\n" },
	{ "bool as a number", "udp: {log_requests: 1}", "c.yaml:1: udp.log_requests: 1: must be true or false\n" },
	{ "bool in quotes", "redis: {enabled: 'true'}",
	  "c.yaml:1: redis.enabled: \"true\": must be true or false\n" },
	{ "choice of three", "xdp: {mode: fast}", "c.yaml:1: xdp.mode: fast: must be auto, native or generic\n" },
	{ "choice of two", "fast_path: Kernel", "c.yaml:1: fast_path: Kernel: must be kernel or userspace\n" },
	{ "choice as a mapping", "xdp: {busy_poll: {}}",
	  "c.yaml:1: xdp.busy_poll: {...}: must be adaptive, always or never\n" },
	{ "choice of levels", "log: {level: loud}", "c.yaml:1: log.level: loud: must be error, warn, info or debug\n" },
	{ "choice of formats", "log: {format: xml}", "c.yaml:1: log.format: xml: must be text or json\n" },
	{ "choice of zero copy", "xdp: {zero_copy: on}",
	  "c.yaml:1: xdp.zero_copy: on: must be auto, never or always\n" },
	{ "choice of a dispatcher", "xdp: {dispatcher: yes}",
	  "c.yaml:1: xdp.dispatcher: yes: must be auto, never or always\n" },
	{ "string as a list", "redis: {channel: [a]}", "c.yaml:1: redis.channel: [...]: must be a string\n" },
	{ "mapping as a scalar", "udp: 443", "c.yaml:1: udp: 443: must be a mapping\n" },
	{ "mapping as a list", "limits: []", "c.yaml:1: limits: [...]: must be a mapping\n" },
	{ "list as a mapping", "routes: {}", "c.yaml:1: routes: {...}: must be a list\n" },
	{ "item of a list as a scalar", "routes: [a]", "c.yaml:1: routes[0]: a: must be a mapping\n" },
	{ "item of a list left empty", "routes:\n-\n", "c.yaml:2: routes[0]: null: must be a mapping\n" },
	{ "whole file a scalar", "hello", "c.yaml:1: hello: must be a mapping\n" },
	{ "whole file a list", "\n- a\n", "c.yaml:2: [...]: must be a mapping\n" },
	/* keys */
	{ "unknown key at the top", "a: 1\nlog: {level: info}\nudpp: {port: [1, {a: b}]}\n",
	  "c.yaml:1: a: unknown key: must be one of " TOP_KEYS "\n"
	  "c.yaml:3: udpp: unknown key: must be one of " TOP_KEYS "\n" },
	{ "unknown key below", "udp:\n  prt: 5\n",
	  "c.yaml:2: udp.prt: unknown key: must be one of port, log_requests\n" },
	{ "unknown key in an item", "routes:\n- {fqdn: a.b, type: agones, target: f, ttl: 3}\n",
	  "c.yaml:2: routes[0].ttl: unknown key: must be one of fqdn, type, target, targets, migration, client_ip, "
	  "health\n" },
	{ "unknown key with control characters", "udp: {\"p\\e\\n\": 5}",
	  "c.yaml:1: udp.\"p\\x1b\\x0a\": unknown key: must be one of port, log_requests\n" },
	{ "key with a NUL behind a known one", "udp: {\"port\\0\": 5}",
	  "c.yaml:1: udp.\"port\\x00\": unknown key: must be one of port, log_requests\n" },
	{ "key that is empty", "udp: {~: 5}", "c.yaml:1: udp: a key must be a name\n" },
	{ "key that is a list", "udp: {[a, b]: [5]}", "c.yaml:1: udp: a key must be a name\n" },
	{ "key given twice", "udp:\n  port: 1\n  log_requests: true\n  port: 2\n",
	  "c.yaml:4: udp.port: must be given once (first on line 2)\n" },
	{ "key given twice, first wrong", "udp:\n  port: 0\n  port: {a: b}\n",
	  "c.yaml:2: udp.port: 0: must be an integer from 1 to 65535\n"
	  "c.yaml:3: udp.port: must be given once (first on line 2)\n" },
	{ "mapping given twice", "udp: {port: 1}\nlog: {}\nudp: {port: 2}\n",
	  "c.yaml:3: udp: must be given once (first on line 1)\n" },
	{ "required keys missing", "routes:\n- {}\n",
	  "c.yaml:2: routes[0].fqdn: missing: must be given\n"
	  "c.yaml:2: routes[0].type: missing: must be given\n"
	  "c.yaml:2: routes[0].target: missing: must be given (or targets)\n" },
	{ "required key left empty", "routes:\n- fqdn: a.b\n  type:\n  target: f\n",
	  "c.yaml:3: routes[0].type: null: must be simple or agones\n" },
	/* strings */
	{ "value with control characters", "redis: {channel: \"a\\tb\"}",
	  "c.yaml:1: redis.channel: \"a\\x09b\": must not contain control characters\n" },
	{ "value with a NUL", "agones: {namespace: \"a\\0b\"}",
	  "c.yaml:1: agones.namespace: \"a\\x00b\": must not contain control characters\n" },
	{ "password is not shown", "redis: {password: \"secret\\n\"}",
	  "c.yaml:1: redis.password: ***: must not contain control characters\n" },
	{ "value too long is cut, quotes and others escaped",
	  "fast_path: \"\\\"\\\\\xc3\xa9 " LABEL63 "\"",
	  "c.yaml:1: fast_path: \"\\\"\\\\\\xc3\\xa9 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"...: "
	  "must be kernel or userspace\n" },
	{ "api.tls.cert without key", "api: {tls: {cert: c}}",
	  "c.yaml:1: api.tls: must have both cert and key, or neither\n" },
	{ "api.tls.key without cert", "api:\n  tls:\n    client_ca: a\n    key: k",
	  "c.yaml:4: api.tls: must have both cert and key, or neither\n" },
	{ "redis.sessions without redis.enabled", "redis:\n  sessions: true",
	  "c.yaml:2: redis.sessions: true: must be false without redis.enabled\n" },
	{ "api.tls.client_ca alone", "api: {tls: {client_ca: a}}",
	  "c.yaml:1: api.tls.client_ca: a: must be given with cert and key\n" },
	{ "api.tls an unknown key", "api: {tls: {ca: a}}",
	  "c.yaml:1: api.tls.ca: unknown key: must be one of cert, key, client_ca\n" },
	{ "api.address a name", "api: {address: localhost}",
	  "c.yaml:1: api.address: localhost: must be an IP address without port\n" },
	{ "redis.address without port", "redis: {address: localhost}",
	  "c.yaml:1: redis.address: localhost: must be HOST:PORT, IP:PORT or [IPv6]:PORT\n" },
	{ "redis.address without host", "redis: {address: ':6379'}",
	  "c.yaml:1: redis.address: :6379: must be HOST:PORT, IP:PORT or [IPv6]:PORT\n" },
	{ "redis.address IPv6 without brackets", "redis: {address: '::1:6379'}",
	  "c.yaml:1: redis.address: ::1:6379: must be HOST:PORT, IP:PORT or [IPv6]:PORT\n" },
	{ "agones without allocator", "agones:\n  enabled: true\n",
	  "c.yaml:2: agones.allocator_host: \"\": must be HOST or HOST:PORT with agones.enabled\n" },
	{ "agones with an empty allocator", "agones:\n  allocator_host: ''\n  enabled: true\n",
	  "c.yaml:2: agones.allocator_host: \"\": must be HOST or HOST:PORT with agones.enabled\n" },
	{ "allocator as a URL", "agones: {allocator_host: 'https://a.test'}",
	  "c.yaml:1: agones.allocator_host: https://a.test: " HOST_MUST "\n" },
	{ "allocator with a path", "agones: {allocator_host: 'a.test/x'}",
	  "c.yaml:1: agones.allocator_host: a.test/x: " HOST_MUST "\n" },
	{ "allocator with a fragment", "agones: {allocator_host: 'a.test#'}",
	  "c.yaml:1: agones.allocator_host: a.test#: " HOST_MUST "\n" },
	{ "allocator with port 0", "agones: {allocator_host: 'a.test:0'}",
	  "c.yaml:1: agones.allocator_host: a.test:0: " HOST_MUST "\n" },
	{ "allocator IPv6 without brackets", "agones: {allocator_host: '2001:db8::1'}",
	  "c.yaml:1: agones.allocator_host: 2001:db8::1: " HOST_MUST "\n" },
	{ "allocator in brackets that do not close", "agones: {allocator_host: '[2001:db8::1'}",
	  "c.yaml:1: agones.allocator_host: [2001:db8::1: " HOST_MUST "\n" },
	{ "allocator's certificate without key", "agones:\n  namespace: n\n  allocator_client_cert: c\n",
	  "c.yaml:2: agones.allocator_client_key: \"\": must be given with agones.allocator_client_cert\n" },
	{ "allocator's key without certificate", "agones:\n  allocator_client_key: c\n  allocator_client_cert: ''\n",
	  "c.yaml:3: agones.allocator_client_cert: \"\": must be given with agones.allocator_client_key\n" },
	{ "agones.timeout_ms too short", "agones: {timeout_ms: 99}",
	  "c.yaml:1: agones.timeout_ms: 99: must be an integer from 100 to 60000\n" },
	{ "no allocations at all", "agones: {max_allocations_per_s: 0, max_allocations_per_s_per_client: 10001}",
	  "c.yaml:1: agones.max_allocations_per_s: 0: must be an integer from 1 to 10000\n"
	  "c.yaml:1: agones.max_allocations_per_s_per_client: 10001: must be an integer from 1 to 10000\n" },
	{ "run_dir relative", "relay: {run_dir: run}",
	  "c.yaml:1: relay.run_dir: run: must be an absolute path of at most 80 bytes\n" },
	{ "run_dir too long", "relay: {run_dir: /" LABEL63 LABEL63 "}",
	  "c.yaml:1: relay.run_dir: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...: "
	  "must be an absolute path of at most 80 bytes\n" },
	/* xdp.interfaces */
	{ "interface too long", "xdp: {interfaces: [abcdefghijklmnop]}",
	  "c.yaml:1: xdp.interfaces[0]: abcdefghijklmnop: " INTERFACE_MUST "\n" },
	{ "interface with a slash, a blank, a colon, empty, a dot alone",
	  "xdp:\n  interfaces:\n  - a/b\n  - a b\n  - a:b\n  - ''\n  - .\n",
	  "c.yaml:3: xdp.interfaces[0]: a/b: " INTERFACE_MUST "\n"
	  "c.yaml:4: xdp.interfaces[1]: a b: " INTERFACE_MUST "\n"
	  "c.yaml:5: xdp.interfaces[2]: a:b: " INTERFACE_MUST "\n"
	  "c.yaml:6: xdp.interfaces[3]: \"\": " INTERFACE_MUST "\n"
	  "c.yaml:7: xdp.interfaces[4]: .: " INTERFACE_MUST "\n" },
	{ "interface twice", "xdp: {interfaces: [a, b, a]}", "c.yaml:1: xdp.interfaces[2]: a: must be given once\n" },
	{ "interfaces, too many, said once", "xdp: {interfaces: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r]}",
	  "c.yaml:1: xdp.interfaces[16]: too many: must be at most 16\n" },
	{ "interfaces as a string", "xdp: {interfaces: eth0}", "c.yaml:1: xdp.interfaces: eth0: must be a list\n" },
	{ "interface as a list", "xdp: {interfaces: [[a]]}", "c.yaml:1: xdp.interfaces[0]: [...]: must be a string\n" },
	/* relay */
	{ "relay address with a port", "relay: {addresses: ['10.0.0.1:5']}",
	  "c.yaml:1: relay.addresses[0]: 10.0.0.1:5: must be an IP address without port\n" },
	{ "relay address unspecified", "relay: {addresses: ['::']}",
	  "c.yaml:1: relay.addresses[0]: \"::\": must be an IP address without port\n" },
	{ "relay address twice", "relay: {addresses: ['::1', 10.0.0.1, '0:0::1']}",
	  "c.yaml:1: relay.addresses[2]: 0:0::1: must be given once\n" },
	{ "ports below 1024", "relay: {ports: 1023-2000}", "c.yaml:1: relay.ports: 1023-2000: " PORTS_MUST "\n" },
	{ "ports above 65535", "relay: {ports: 1024-65536}", "c.yaml:1: relay.ports: 1024-65536: " PORTS_MUST "\n" },
	{ "ports the wrong way round", "relay: {ports: 3000-2000}",
	  "c.yaml:1: relay.ports: 3000-2000: " PORTS_MUST "\n" },
	{ "ports, one only", "relay: {ports: 3000}", "c.yaml:1: relay.ports: 3000: " PORTS_MUST "\n" },
	{ "ports, comma at the end", "relay: {ports: '2000-3000,'}",
	  "c.yaml:1: relay.ports: 2000-3000,: " PORTS_MUST "\n" },
	{ "ports, three ranges", "relay: {ports: '2000-2001,2002-2003,2004-2005'}",
	  "c.yaml:1: relay.ports: 2000-2001,2002-2003,2004-2005: " PORTS_MUST "\n" },
	{ "ports that overlap", "relay: {ports: '3000-4000,2000-3000'}",
	  "c.yaml:1: relay.ports: 3000-4000,2000-3000: must be two ranges without a port in common\n" },
	/* limits */
	{ "idle timeouts the wrong way round", "limits:\n  idle_timeout_unconfirmed: 100\n  idle_timeout: 99\n",
	  "c.yaml:2: limits.idle_timeout_unconfirmed: 100: must not be above limits.idle_timeout (99)\n" },
	{ "idle timeout below the other's default", "limits:\n  sessions: 64\n  idle_timeout: 9\n",
	  "c.yaml:3: limits.idle_timeout_unconfirmed: 10: must not be above limits.idle_timeout (9)\n" },
	{ "every limit too low",
	  "limits:\n  aliases_per_session: -1\n  pending_handshakes: 15\n  pending_bytes_per_handshake: 2399\n"
	  "  pending_seconds: 0\n  new_sessions_per_s_per_source: 0\n  idle_timeout: 4\n"
	  "  idle_timeout_unconfirmed: 0\n",
	  "c.yaml:2: limits.aliases_per_session: -1: must be an integer from 0 to 8\n"
	  "c.yaml:3: limits.pending_handshakes: 15: must be an integer from 16 to 1048576\n"
	  "c.yaml:4: limits.pending_bytes_per_handshake: 2399: must be an integer from 2400 to 65536\n"
	  "c.yaml:5: limits.pending_seconds: 0: must be an integer from 1 to 60\n"
	  "c.yaml:6: limits.new_sessions_per_s_per_source: 0: must be an integer from 1 to 1000000\n"
	  "c.yaml:7: limits.idle_timeout: 4: must be an integer from 5 to 86400\n"
	  "c.yaml:8: limits.idle_timeout_unconfirmed: 0: must be an integer from 1 to 3600\n" },
	{ "every limit too high",
	  "limits:\n  aliases_per_session: 9\n  pending_handshakes: 1048577\n  pending_bytes_per_handshake: 65537\n"
	  "  pending_seconds: 61\n  new_sessions_per_s_per_source: 1000001\n  idle_timeout: 86401\n"
	  "  idle_timeout_unconfirmed: 3601\n",
	  "c.yaml:2: limits.aliases_per_session: 9: must be an integer from 0 to 8\n"
	  "c.yaml:3: limits.pending_handshakes: 1048577: must be an integer from 16 to 1048576\n"
	  "c.yaml:4: limits.pending_bytes_per_handshake: 65537: must be an integer from 2400 to 65536\n"
	  "c.yaml:5: limits.pending_seconds: 61: must be an integer from 1 to 60\n"
	  "c.yaml:6: limits.new_sessions_per_s_per_source: 1000001: must be an integer from 1 to 1000000\n"
	  "c.yaml:7: limits.idle_timeout: 86401: must be an integer from 5 to 86400\n"
	  "c.yaml:8: limits.idle_timeout_unconfirmed: 3601: must be an integer from 1 to 3600\n" },
	{ "every other number too low",
	  "xdp: {workers: -1}\nrelay: {restart_grace: 4, pinned_silence: 0}\napi: {port: 0}\nredis: {db: -1}\nudp: {port: 0}\n",
	  "c.yaml:1: xdp.workers: -1: must be an integer from 0 to 64\n"
	  "c.yaml:2: relay.restart_grace: 4: must be an integer from 5 to 86400\n"
	  "c.yaml:2: relay.pinned_silence: 0: must be an integer from 1 to 60\n"
	  "c.yaml:3: api.port: 0: must be an integer from 1 to 65535\n"
	  "c.yaml:4: redis.db: -1: must be an integer from 0 to 65535\n"
	  "c.yaml:5: udp.port: 0: must be an integer from 1 to 65535\n" },
	{ "every other number too high",
	  "xdp: {workers: 65}\nrelay: {restart_grace: 86401, pinned_silence: 61}\napi: {port: 65536}\nredis: {db: 65536}\n"
	  "udp: {port: 65536}\n",
	  "c.yaml:1: xdp.workers: 65: must be an integer from 0 to 64\n"
	  "c.yaml:2: relay.restart_grace: 86401: must be an integer from 5 to 86400\n"
	  "c.yaml:2: relay.pinned_silence: 61: must be an integer from 1 to 60\n"
	  "c.yaml:3: api.port: 65536: must be an integer from 1 to 65535\n"
	  "c.yaml:4: redis.db: 65536: must be an integer from 0 to 65535\n"
	  "c.yaml:5: udp.port: 65536: must be an integer from 1 to 65535\n" },
	/* listeners */
	{ "listener without address", "listeners: [{name: a}]",
	  "c.yaml:1: listeners[0].address: missing: must be given\n" },
	{ "listener name with a blank", "listeners: [{name: a b, address: '*:1'}]",
	  "c.yaml:1: listeners[0].name: a b: must be 1 to 31 letters, digits, - and _\n" },
	{ "listener name of 32", "listeners: [{name: abcdefghijklmnopqrstuvwxyz012345, address: '*:1'}]",
	  "c.yaml:1: listeners[0].name: abcdefghijklmnopqrstuvwxyz012345: must be 1 to 31 letters, digits, - and _\n" },
	{ "listener address unspecified", "listeners: [{name: a, address: '0.0.0.0:443'}]",
	  "c.yaml:1: listeners[0].address: 0.0.0.0:443: " LISTENER_MUST "\n" },
	{ "listener address without port", "listeners: [{name: a, address: 10.0.0.1}]",
	  "c.yaml:1: listeners[0].address: 10.0.0.1: " LISTENER_MUST "\n" },
	{ "listener address a multicast group", "listeners: [{name: a, address: '[ff02::1]:443'}]",
	  "c.yaml:1: listeners[0].address: [ff02::1]:443: " LISTENER_MUST "\n" },
	{ "listener port 0 for every address", "listeners: [{name: a, address: ':0'}]",
	  "c.yaml:1: listeners[0].address: :0: " LISTENER_MUST "\n" },
	{ "listener mode of later", "listeners:\n- {name: a, address: '*:1', mode: udp}\n- name: b\n  address: ':2'\n"
				    "  mode: rendezvous\n",
	  "c.yaml:2: listeners[0].mode: udp: not supported yet: must be quic\n"
	  "c.yaml:5: listeners[1].mode: rendezvous: not supported yet: must be quic\n" },
	{ "listener mode of never", "listeners: [{name: a, address: '*:1', mode: tcp}]",
	  "c.yaml:1: listeners[0].mode: tcp: must be quic, udp or rendezvous\n" },
	{ "listener name twice", "listeners:\n- {name: a, address: '*:1'}\n- {name: a, address: '*:2'}\n",
	  "c.yaml:3: listeners[1].name: a: must be given once (also on line 2)\n" },
	{ "listener named as udp's", "listeners:\n- {name: udp, address: '*:1'}\nudp: {port: 2}\n",
	  "c.yaml:2: listeners[0].name: udp: must be given once (also on line 3)\n" },
	{ "listener address twice",
	  "listeners:\n- {name: a, address: '10.0.0.1:1'}\n- {name: b, address: '10.0.0.1:1'}\n",
	  "c.yaml:3: listeners[1].address: 10.0.0.1:1: must not overlap with another listener (a on line 2)\n" },
	{ "listener IPv6 address twice, written differently",
	  "listeners:\n- {name: a, address: '[2001:db8::1]:1'}\n- {name: b, address: '[2001:DB8:0::1]:1'}\n",
	  "c.yaml:3: listeners[1].address: [2001:db8::1]:1: must not overlap with another listener (a on line 2)\n" },
	{ "listener on every address after one on the same port",
	  "listeners:\n- {name: a, address: '10.0.0.1:1'}\n- {name: b, address: '*:1'}\n",
	  "c.yaml:3: listeners[1].address: *:1: must not overlap with another listener (a on line 2)\n" },
	{ "listener on udp's port", "udp:\n  port: 5\nlisteners:\n- {name: a, address: '10.0.0.1:5'}\n",
	  "c.yaml:4: listeners[0].address: 10.0.0.1:5: must not overlap with another listener (udp on line 2)\n" },
	{ "listener on udp's port that is written later", "listeners:\n- {name: a, address: ':443'}\nudp: {}\n",
	  "c.yaml:2: listeners[0].address: *:443: must not overlap with another listener (udp on line 3)\n" },
	/* what comes later */
	{ "firehose with content", "firehose: {port: [1], b: {c: d}}\nlog: {level: x}\n",
	  "c.yaml:1: firehose: {...}: not supported yet: must be empty\n"
	  "c.yaml:2: log.level: x: must be error, warn, info or debug\n" },
	{ "firehose as a scalar", "firehose: on", "c.yaml:1: firehose: on: must be a mapping\n" },
	/* routes: names */
	{ "fqdn empty", ROUTE(""), "c.yaml:2: routes[0].fqdn: \"\": must not have an empty label\n" },
	{ "fqdn a dot", ROUTE("."), "c.yaml:2: routes[0].fqdn: .: must not have an empty label\n" },
	{ "fqdn with two dots in the middle", ROUTE("a..b"),
	  "c.yaml:2: routes[0].fqdn: a..b: must not have an empty label\n" },
	{ "fqdn with two dots at its end", ROUTE("a.."),
	  "c.yaml:2: routes[0].fqdn: a..: must not have an empty label\n" },
	{ "fqdn with a dot first", ROUTE(".a"), "c.yaml:2: routes[0].fqdn: .a: must not have an empty label\n" },
	{ "fqdn with a label of 64", ROUTE("a" LABEL63 ".b"),
	  "c.yaml:2: routes[0].fqdn: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...: "
	  "must have labels of at most 63 characters\n" },
	{ "fqdn of 254", ROUTE("a" NAME253),
	  "c.yaml:2: routes[0].fqdn: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...: "
	  "must be at most 253 characters\n" },
	{ "fqdn with a hyphen first", ROUTE("a.-b"),
	  "c.yaml:2: routes[0].fqdn: a.-b: must not have a label that begins or ends with -\n" },
	{ "fqdn with a hyphen last", ROUTE("a-.b"),
	  "c.yaml:2: routes[0].fqdn: a-.b: must not have a label that begins or ends with -\n" },
	{ "fqdn with a blank", ROUTE("a b"), "c.yaml:2: routes[0].fqdn: a b: " DNS_NAME "\n" },
	{ "fqdn with a port", ROUTE("a.b:443"), "c.yaml:2: routes[0].fqdn: a.b:443: " DNS_NAME "\n" },
	{ "fqdn not ASCII", ROUTE("\xc3\xa9.b"), "c.yaml:2: routes[0].fqdn: \"\\xc3\\xa9.b\": " DNS_NAME "\n" },
	{ "wildcard not first", ROUTE("a.*.b"),
	  "c.yaml:2: routes[0].fqdn: a.*.b: must have * only as the whole first label\n" },
	{ "wildcard as part of a label", ROUTE("a*.b"),
	  "c.yaml:2: routes[0].fqdn: a*.b: must have * only as the whole first label\n" },
	{ "wildcard twice", ROUTE("*.*.b"),
	  "c.yaml:2: routes[0].fqdn: *.*.b: must have * only as the whole first label\n" },
	{ "wildcard of nothing", ROUTE("*."),
	  "c.yaml:2: routes[0].fqdn: *.: must have * only as the whole first label\n" },
	{ "fqdn twice, in other letters and with the last dot",
	  "routes:\n- {fqdn: a.b, type: agones, target: f}\n- {fqdn: c.d, type: agones, target: f}\n"
	  "- {fqdn: A.B., type: agones, target: g}\n- {fqdn: a.b, type: agones, target: g}\n",
	  "c.yaml:4: routes[2].fqdn: a.b: must be given once (first on line 2)\n"
	  "c.yaml:5: routes[3].fqdn: a.b: must be given once (first on line 2)\n" },
	{ "default route twice",
	  "routes:\n- {fqdn: '*', type: agones, target: f}\n- {fqdn: '*', type: agones, target: f}\n",
	  "c.yaml:3: routes[1].fqdn: *: must be given once (first on line 2)\n" },
	/* routes: targets */
	{ "target and targets", "routes:\n- {fqdn: a.b, type: simple, target: '1.2.3.4:5', targets: [{address: '1.2.3.4:6'}]}\n",
	  "c.yaml:2: routes[0].targets: must not be given beside target\n" },
	{ "a wrong one of several targets",
	  "routes:\n- fqdn: a.b\n  type: simple\n  targets:\n  - {address: '1.2.3.4:6'}\n  - {address: x}\n",
	  "c.yaml:4: routes[0].targets[1].address: x: " TARGET_MUST "\n" },
	{ "health: out of its bounds", "routes:\n- {fqdn: a.b, type: simple, target: '1.2.3.4:5', health: {fall: 101}}\n",
	  "c.yaml:2: routes[0].health.fall: 101: must be an integer from 1 to 100\n" },
	{ "health: an answer may take no longer than the next probe",
	  "routes:\n- fqdn: a.b\n  type: simple\n  target: '1.2.3.4:5'\n  health: {interval: 2, timeout: 3}\n",
	  "c.yaml:5: routes[0].health: must have a timeout that is not longer than its interval\n" },
	{ "health of a fleet", "routes:\n- {fqdn: a.b, type: agones, target: f, health: {}}\n",
	  "c.yaml:2: routes[0].health: must not be given for agones: Agones sees to its servers\n" },
	{ "weight 0", "routes:\n- {fqdn: a.b, type: simple, targets: [{address: '1.2.3.4:6', weight: 0}]}\n",
	  "c.yaml:2: routes[0].targets[0].weight: 0: must be an integer from 1 to 65535\n" },
	{ "no target in the list", "routes:\n- {fqdn: a.b, type: simple, targets: []}\n",
	  "c.yaml:2: routes[0].target: missing: must be given (or targets)\n" },
	{ "target twice", "routes:\n- {fqdn: a.b, type: simple, targets: [{address: 'a:6'}, {address: 'a:6'}]}\n",
	  "c.yaml:2: routes[0].targets[1].address: a:6: must be given once\n" },
	{ "two fleets", "routes:\n- {fqdn: a.b, type: agones, targets: [{address: f}, {address: g}]}\n",
	  "c.yaml:2: routes[0].targets: must have one target, the fleet\n" },
	{ "target a name without port", TARGET("game"), "c.yaml:2: routes[0].target: game: " TARGET_MUST "\n" },
	{ "target without port", TARGET("10.0.0.1"), "c.yaml:2: routes[0].target: 10.0.0.1: " TARGET_MUST "\n" },
	{ "target with port 0", TARGET("10.0.0.1:0"), "c.yaml:2: routes[0].target: 10.0.0.1:0: " TARGET_MUST "\n" },
	{ "target with port 65536", TARGET("10.0.0.1:65536"),
	  "c.yaml:2: routes[0].target: 10.0.0.1:65536: " TARGET_MUST "\n" },
	{ "target not an address", TARGET("10.0.0.256:7"),
	  "c.yaml:2: routes[0].target: 10.0.0.256:7: " TARGET_MUST "\n" },
	{ "target IPv6 without brackets", TARGET("2001:db8::5:7"),
	  "c.yaml:2: routes[0].target: 2001:db8::5:7: " TARGET_MUST "\n" },
	{ "target IPv4 in brackets", TARGET("[10.0.0.1]:7"),
	  "c.yaml:2: routes[0].target: [10.0.0.1]:7: " TARGET_MUST "\n" },
	{ "target unspecified", TARGET("0.0.0.0:7"),
	  "c.yaml:2: routes[0].target: 0.0.0.0:7: must be the address of one host\n" },
	{ "target a multicast group", TARGET("[ff02::1]:7"),
	  "c.yaml:2: routes[0].target: [ff02::1]:7: must be the address of one host\n" },
	{ "target an IPv4 multicast group", TARGET("224.0.0.1:7"),
	  "c.yaml:2: routes[0].target: 224.0.0.1:7: must be the address of one host\n" },
	{ "target IPv6 unspecified", TARGET("[::]:7"),
	  "c.yaml:2: routes[0].target: [::]:7: must be the address of one host\n" },
	{ "target before its type", "routes:\n- target: my-fleet\n  fqdn: a.b\n  type: simple\n",
	  "c.yaml:2: routes[0].target: my-fleet: " TARGET_MUST "\n" },
	{ "target of a type unknown is not judged", "routes:\n- {fqdn: a.b, type: static, target: '!'}\n",
	  "c.yaml:2: routes[0].type: static: must be simple or agones\n" },
	{ "fleet that is no name", "routes:\n- {fqdn: a.b, type: agones, target: my fleet}\n",
	  "c.yaml:2: routes[0].target: my fleet: must be a fleet's name: 1 to 63 letters, digits, - _ and .\n" },
	{ "migration unknown", "routes:\n- {fqdn: a.b, type: agones, target: f, migration: none}\n",
	  "c.yaml:2: routes[0].migration: none: must be path or pinned\n" },
	{ "client_ip unknown", "routes:\n- {fqdn: a.b, type: agones, target: f, client_ip: keep}\n",
	  "c.yaml:2: routes[0].client_ip: keep: must be relay or preserve\n" },
	{ "client_ip preserve, and pinned",
	  "routes:\n- fqdn: a.b\n  type: agones\n  client_ip: preserve\n  target: f\n  migration: pinned\n",
	  "c.yaml:4: routes[0].client_ip: preserve: must be relay with migration: pinned, which holds on to a port of "
	  "the relay\n" },
	/* YAML itself */
	{ "syntax: flow mapping not closed", "udp:\n  port: 5\nlimits: {sessions: 64\n",
	  "c.yaml:4: YAML syntax: did not find expected ',' or '}' (while parsing a flow mapping from line 3)\n" },
	{ "syntax: tab as indentation", "udp:\n\tport: 5\n",
	  "c.yaml:2: YAML syntax: found character that cannot start any token "
	  "(while scanning for the next token from line 2)\n" },
	{ "syntax: errors before it are told too", "udp: {port: 0}\n]\n",
	  "c.yaml:1: udp.port: 0: must be an integer from 1 to 65535\n"
	  "c.yaml:2: YAML syntax: did not find expected key (while parsing a block mapping from line 1)\n" },
	{ "syntax: not UTF-8", "udp:\n  port: 5 # \xff\n", "c.yaml:2: YAML syntax: invalid leading UTF-8 octet\n" },
	{ "syntax: control character", "# a\n# b\x01\n",
	  "c.yaml:2: YAML syntax: control characters are not allowed\n" },
	{ "wildcard without quotes", "routes:\n  - fqdn: *.example.com\n",
	  "c.yaml:2: YAML syntax: a value that begins with * must be in quotes\n" },
	{ "default route without quotes", "routes:\n  - {fqdn: *, type: simple}\n",
	  "c.yaml:2: YAML syntax: a value that begins with * must be in quotes\n" },
	{ "alias", "udp: *a\n", "c.yaml:1: " NO_ALIASES "; a value that begins with * must be in quotes\n" },
	{ "anchor on a scalar", "fast_path: &a kernel\n", "c.yaml:1: " NO_ALIASES "\n" },
	{ "anchor on a mapping", "udp: &a {port: 5}\n", "c.yaml:1: " NO_ALIASES "\n" },
	{ "anchor on a list", "a: &a [x, x, x]\nb: &b [*a, *a, *a]\n",
	  "c.yaml:1: a: unknown key: must be one of " TOP_KEYS "\n"
	  "c.yaml:1: " NO_ALIASES "\n" },
	{ "tag", "udp: {port: !!int 5}\n", "c.yaml:1: tags are not supported\n" },
	{ "tag on a mapping", "udp: !!map {port: 5}\n", "c.yaml:1: tags are not supported\n" },
	{ "tag on a list", "routes: !!seq []\n", "c.yaml:1: tags are not supported\n" },
	{ "second document", "udp: {port: 5}\n---\nudp: {port: 6}\n",
	  "c.yaml:2: a second YAML document begins: must be one\n" },
	{ "deep under a reserved key", "firehose: {a: [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}\n",
	  "c.yaml:1: firehose: {...}: not supported yet: must be empty\n"
	  "c.yaml:1: lists and mappings are nested too deeply: must be at most 16 levels\n" },
	{ "errors are told in the order of lines",
	  "listeners:\n- {name: a, address: ':443'}\nudp: {}\nlog: {level: x}\n",
	  "c.yaml:2: listeners[0].address: *:443: must not overlap with another listener (udp on line 3)\n"
	  "c.yaml:4: log.level: x: must be error, warn, info or debug\n" },
};

static void test_errors(void **state)
{
	(void)state;
	assert_refused(error_rows, COUNT(error_rows));
}

static unsigned count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void test_errors_end_at_20(void **state)
{
	struct config config;
	char text[4096] = "routes:\n", *messages;

	(void)state;
	for (int i = 0; i < 40; i++)
		strcat(text, "- {fqdn: a.b, type: agones, target: f, x: y}\n");
	assert_int_equal(parse_bytes(text, strlen(text), &config, &messages), -1);
	assert_int_equal(count_lines(messages), 20);
	assert_non_null(strstr(messages, "c.yaml:21: routes[19].x: unknown key"));
	free(messages);
}

/* The checks after the walk find many at once, and missing keys come several to a mapping. */
static void test_errors_end_at_20_in_checks(void **state)
{
	struct config config;
	char text[4096] = "routes:\n", *messages;

	(void)state;
	for (int i = 0; i < 40; i++)
		strcat(text, "- {fqdn: a.b, type: agones, target: f}\n");
	assert_int_equal(parse_bytes(text, strlen(text), &config, &messages), -1);
	assert_int_equal(count_lines(messages), 20);
	assert_non_null(strstr(messages, "c.yaml:22: routes[20].fqdn: a.b: must be given once (first on line 2)\n"));
	free(messages);

	strcpy(text, "routes:\n");
	for (int i = 0; i < 40; i++)
		strcat(text, "- {}\n");
	assert_int_equal(parse_bytes(text, strlen(text), &config, &messages), -1);
	assert_int_equal(count_lines(messages), 20);
	free(messages);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errors_end_at_20),
		cmocka_unit_test(test_errors_end_at_20_in_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
