# SPDX-License-Identifier: Apache-2.0
"""Manifests as text. Every document is JSON, which is YAML."""

import json


def document(kind, **fields):
    return json.dumps({"kind": kind, **{name: value for name, value in fields.items() if value is not None}})


def join(*documents):
    return "\n---\n".join(documents) + "\n"


def network(name, **fields):
    return document("Network", name=name, **fields)


def pod(name, app=None, **fields):
    owner, short = name.split("/")
    return document("Pod", network=owner, name=short, labels={"app": app} if app else None, **fields)


def service(name, app, ports, **fields):
    owner, short = name.split("/")
    return document("Service", network=owner, name=short, selector={"app": app}, ports=ports, **fields)


def port(number, target=8080, protocol="TCP"):
    return {"name": f"p{number}-{protocol.lower()}", "port": number, "target_port": target, "protocol": protocol}


def floating_ip(name, address):
    return document("FloatingIP", name=name, address=address)


def two_tenants():
    """red and blue: the same CIDR, the same pod addresses, the same service address."""
    documents = [floating_ip("public", "203.0.113.10")]
    for tenant, public_port in (("red", 80), ("blue", 8081)):
        documents += [
            network(tenant),
            pod(f"{tenant}/client", address4="172.16.0.10"),
            pod(f"{tenant}/web-1", "web", address4="172.16.0.11"),
            pod(f"{tenant}/web-2", "web", address4="172.16.0.12"),
            service(f"{tenant}/web", "web", [port(80), port(80, protocol="UDP")], address4="172.16.200.1"),
            service(f"{tenant}/public", "web", [port(public_port)], address4="172.16.200.2", floating_ip="public"),
        ]
    return join(*documents)
