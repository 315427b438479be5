#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""openapi: holds control/openapi.json against the running API, in both directions.

    openapi.py DOCUMENT URL

Every path and method of the document must be there (no 404 of an unknown
path, no 405), and answer with a status that the document names. Every path
answers other methods with a 405 whose Allow names exactly the document's. The
document served is the document.
"""
import json
import re
import sys
import urllib.error
import urllib.request

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")
# Values that exist nowhere, so that nothing is changed.
VALUES = {"fqdn": "openapi.test", "backend": "192.0.2.1:1", "relay": "192.0.2.2:2", "id": "0-4294967295"}

failures = 0


def fail(text):
    global failures
    failures += 1
    print("FAIL", text)


def ask(url, method):
    request = urllib.request.Request(url, method=method, data=b"{}" if method in ("POST", "PUT") else None)
    if request.data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def main():
    document_bytes = open(sys.argv[1], "rb").read()
    document, url = json.loads(document_bytes), sys.argv[2]

    for reference in references(document):
        node = document
        for part in reference.lstrip("#/").split("/"):
            node = node.get(part) if node else None
        if node is None:
            fail(f"{reference} leads nowhere")
    for path, item in document["paths"].items():
        methods = [m for m in METHODS if m.lower() in item]
        at = url + re.sub(r"{(\w+)}", lambda m: VALUES[m.group(1)], path)
        for method in METHODS:
            status, headers, body = ask(at, method)
            if method not in methods:
                allow = sorted((headers.get("Allow") or "").split(", "))
                if status != 405 or allow != sorted(methods):
                    fail(f"{method} {path}: {status}, Allow {allow}: the API has an endpoint that the document lacks")
                continue
            if status == 405 or b"no such path" in body:
                fail(f"{method} {path}: {status}: the document has an endpoint that the API lacks")
            if str(status) not in item[method.lower()]["responses"]:
                fail(f"{method} {path}: status {status} is not in the document")
            if status >= 400 and list(json.loads(body)) != ["error"]:
                fail(f"{method} {path}: {body!r} is not an error as documented")
    if ask(url + "/openapi.json", "GET")[2] != document_bytes:
        fail("GET /openapi.json is not the document in the repository")
    print(len(document["paths"]), "paths,", failures, "failures")
    return 1 if failures else 0


sys.exit(main())
