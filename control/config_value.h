/* SPDX-License-Identifier: MIT */
/*
 * config_value: what single values of config.yaml must look like. Pure, start-up
 * and reload only. The text is hostile; that it holds no control characters
 * has been checked before.
 *
 * Each reads a NUL-terminated text and returns NULL, or what the value must
 * be ("must be ..."); then *field is as it was. Those that end in _check
 * store nothing.
 */
#ifndef SLUICE_CONFIG_VALUE_H
#define SLUICE_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;

/* Decimal digits alone, without leading zeros, up to max. */
bool config_value_number(const char *text, size_t len, uint32_t max, uint32_t *number);

const char *config_value_fqdn(const char *text, void *field);              /* char *, owned; the old one is freed */
const char *config_value_interface(const char *text, void *field);         /* char[IF_NAMESIZE] */
const char *config_value_listener_name(const char *text, void *field);     /* char[32] */
const char *config_value_listener_address(const char *text, void *field);  /* struct config_listener */
const char *config_value_relay_address(const char *text, void *field);     /* struct addr */
const char *config_value_port_ranges(const char *text, void *field);       /* uint16_t[2][2] */
const char *config_value_run_dir(const char *text, void *field);           /* char[108] */
const char *config_value_ip_check(const char *text);                       /* an IP address without port */
const char *config_value_host_port_check(const char *text);
const char *config_value_host_check(const char *text);                     /* the same, the port may be absent */
const char *config_value_fleet_check(const char *text);

/* A DNS name of letters, digits, - and _, without *. */
bool config_value_is_host_name(const char *name);

/* An IP address without port or brackets. 0 or -EINVAL. */
int config_address_parse_ip(const char *text, struct addr *addr);

/* Neither unspecified nor multicast: one host can have it. */
bool config_address_is_unicast(const struct addr *addr);

#endif
