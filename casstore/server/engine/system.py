"""The server and its store as a whole: ping, version, info, disk usage."""

from __future__ import annotations

import os
import platform
import socket
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from casstore.clock import current_time
from casstore.errors import UsageError
from casstore.model.platform import this_machine
from casstore.model.rfc3339 import format_time
from casstore.server.engine.call import json_answer
from casstore.server.engine.containers import container_rows, containers_of
from casstore.server.engine.listing import image_row
from casstore.server.engine.versions import LATEST, OLDEST, text_of
from casstore.server.message import Response

if TYPE_CHECKING:
    from casstore.server.engine.call import Call

# What a client that asks for it must not keep (dockerd's pingHandler).
_NO_CACHE = (
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
)
_LIMITS = (
    *("MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet"),
    *("PidsLimit", "IPv4Forwarding", "OomKillDisable", "BridgeNfIptables", "BridgeNfIp6tables"),
)
_TYPES = ("container", "image", "volume", "build-cache")


def ping(_: Call) -> Response:
    """GET and HEAD /_ping: whether anybody is there, and what they speak."""
    headers = [
        ("Builder-Version", "1"),
        ("Swarm", "inactive"),
        ("Content-Type", "text/plain; charset=utf-8"),
        *_NO_CACHE,
    ]
    return Response(200, headers, b"OK")


def version(call: Call) -> Response:
    """GET /version."""
    here, system = this_machine(), os.uname()
    python = f"python{platform.python_version()}"
    details = {
        "ApiVersion": text_of(LATEST),
        "MinAPIVersion": text_of(OLDEST),
        "Os": here.os,
        "Arch": here.architecture,
        "GitCommit": "",
        "GoVersion": python,
        "KernelVersion": system.release,
        "BuildTime": "",
    }
    shape: dict[str, Any] = {
        "Platform": {"Name": "casstore"},
        "Components": [
            {
                "Name": "Engine",
                "Version": call.options.release,
                "Details": {**details, "Experimental": "false"},
            }
        ],
        "Version": call.options.release,
        **details,
    }
    return json_answer(200, shape)


def info(call: Call) -> Response:
    """GET /info."""
    store, system = call.store, os.uname()
    held = containers_of(store)
    running = sum(one.is_running for one in held)
    name = socket.gethostname()
    try:
        distribution = platform.freedesktop_os_release()
    except OSError:
        distribution = {}
    where = store.path
    shape: dict[str, Any] = {
        "ID": str(uuid5(NAMESPACE_URL, f"casstore:{name}:{where}")),
        "Containers": len(held),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": len(held) - running,
        "Images": sum(1 for _ in store.each_image(all=True)),
        "Driver": "casstore",
        "DriverStatus": [],
        "Plugins": {"Volume": [], "Network": [], "Authorization": None, "Log": []},
        # What the kernel could hold a container to: docker warns of each that is lacking, and here
        # nothing is run.
        **dict.fromkeys(_LIMITS, True),
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        "NGoroutines": 0,
        "NEventsListener": 0,
        "SystemTime": format_time(current_time()),
        "LoggingDriver": "none",
        "CgroupDriver": "none",
        "KernelVersion": system.release,
        "OperatingSystem": distribution.get("PRETTY_NAME", system.sysname),
        "OSVersion": distribution.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": system.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {
                "docker.io": {
                    "Name": "docker.io",
                    "Mirrors": list(call.options.mirrors),
                    "Secure": True,
                    "Official": True,
                }
            },
            "Mirrors": list(call.options.mirrors),
        },
        "GenericResources": None,
        "DockerRootDir": where,
        "HttpProxy": "", "HttpsProxy": "", "NoProxy": "",  # they may have passwords
        "Name": name,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": call.options.release,
        "Runtimes": {},
        "DefaultRuntime": "",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False,
            "Error": "", "RemoteManagers": None,
        },
        "LiveRestoreEnabled": False,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""}, "RuncCommit": {"ID": ""}, "InitCommit": {"ID": ""},
        "SecurityOptions": [],
        "Warnings": None,
    }  # fmt: skip
    return json_answer(200, shape)


def disk_usage(call: Call) -> Response:
    """GET /system/df."""
    wanted = set() if call.before(42) else set(call.request.query.get("type", ()))
    unknown = wanted.difference(_TYPES)
    if unknown:
        raise UsageError(f"unknown object type: {min(unknown)}")
    wanted = wanted or set(_TYPES)
    store = call.store
    images = None
    layers = 0
    if "image" in wanted:
        usage = store.df()
        layers = usage.file_bytes
        taken = {row.id: row for row in usage.rows}
        images = [
            image_row(
                call, one, shared=taken[one.id].file_shared, containers=len(taken[one.id].leases)
            )
            for one in store.each_image()
            if one.id in taken
        ]
    containers = None
    if "container" in wanted:
        containers = container_rows(store, containers_of(store), sizes=True)
    shape: dict[str, Any] = {
        "LayersSize": layers,
        "Images": images,
        "Containers": containers,
        "Volumes": [] if "volume" in wanted else None,
        "BuildCache": [] if "build-cache" in wanted else None,
    }
    if call.before(42):
        shape["BuilderSize"] = 0
    return json_answer(200, shape)
