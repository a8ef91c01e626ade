#!/usr/bin/env python3
"""Writes a container image of one layer from files of this machine; needs no container engine and no base image.

    image.py OUT.tar --name NAME… --entrypoint PROGRAM FILE=/DEST…

The archive is an OCI image layout and a Docker archive at once, so that `ctr images import`, `docker load`,
`podman load`, `kind load image-archive` and `skopeo copy oci-archive:OUT.tar` read it. The same files give the same
bytes. A program that is linked dynamically brings its loader and its libraries, as `ldd` lists them.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

NOBODY = 65532  # "nonroot" in the distroless images.
CREATED = "1970-01-01T00:00:00Z"
CA_BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.tar")
    parser.add_argument("--name", action="append", required=True, help="REPOSITORY:TAG; may be given several times")
    parser.add_argument("--entrypoint", required=True)
    parser.add_argument("--user", type=int, default=NOBODY, help="user and group id (default: %(default)s)")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--strip", action="store_true", help="leave debug information out")
    parser.add_argument("file", nargs="+", metavar="FILE=/DEST")
    return parser.parse_args()


def libraries(program):
    """The loader and the shared libraries of a program; none when it is static."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return []
    paths = re.findall(r"(?:=> )?(/\S+) \(0x", listed.stdout)
    missing = re.findall(r"(\S+) => not found", listed.stdout)
    if missing:
        raise SystemExit(f"image.py: {program} needs {', '.join(missing)}, which this machine does not have")
    # Name resolution loads these by name; they are part of libc since 2.34.
    for libc in [path for path in paths if Path(path).name == "libc.so.6"]:
        extra = [Path(libc).parent / name for name in ("libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")]
        paths += [str(path) for path in extra if path.exists()]
    return paths


def stripped(program):
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["strip", "--strip-debug", "-o", out.name, program], check=True)
        return Path(out.name).read_bytes()


def tree(args):
    """The files of the image: path without leading slash -> (content, mode)."""
    accounts = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
    files = {
        "etc/passwd": (accounts.encode(), 0o644),
        "etc/group": (b"root:x:0:\nnonroot:x:65532:\n", 0o644),
        "etc/nsswitch.conf": (b"hosts: files dns\n", 0o644),
    }
    bundle = next((path for path in CA_BUNDLES if os.path.exists(path)), None)
    if not bundle:
        raise SystemExit("image.py: this machine has no CA bundle to put into the image (Debian: ca-certificates)")
    files["etc/ssl/certs/ca-certificates.crt"] = (Path(bundle).read_bytes(), 0o644)
    for pair in args.file:
        source, _, destination = pair.partition("=")
        content = stripped(source) if args.strip else Path(source).read_bytes()
        files[destination.lstrip("/")] = (content, 0o755)
        for library in libraries(source):
            files[library.lstrip("/")] = (Path(library).read_bytes(), 0o755)
    return files


def layer(files):
    """The layer as a tar archive: sorted, without times and owners."""
    directories = {str(parent) for path in files for parent in Path(path).parents} - {"."} | {"tmp"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(directories):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        for name in sorted(files):
            content, mode = files[name]
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def digest(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def descriptor(media_type, blob, **more):
    return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": digest(blob), "size": len(blob), **more}


def write(args):
    blob = layer(tree(args))
    config = encode({
        "architecture": ARCHITECTURE,
        "os": "linux",
        "created": CREATED,
        "config": {
            "Entrypoint": [args.entrypoint],
            "Env": ["PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "User": f"{args.user}:{args.user}",
            "WorkingDir": "/",
            "Labels": dict(label.split("=", 1) for label in args.label),
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(blob)]},
        "history": [{"created": CREATED, "created_by": "image.py"}],
    })
    manifest = encode({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar", blob)],
    })
    named = [
        descriptor("manifest.v1+json", manifest, annotations={
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        })
        for name in args.name
    ]
    path = {part: "blobs/sha256/" + hashlib.sha256(part).hexdigest() for part in (blob, config, manifest)}
    docker = [{"Config": path[config], "RepoTags": args.name, "Layers": [path[blob]]}]
    parts = {
        "oci-layout": encode({"imageLayoutVersion": "1.0.0"}),
        "index.json": encode({"schemaVersion": 2, "manifests": named}),
        "manifest.json": encode(docker),
        **{path[part]: part for part in (blob, config, manifest)},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = args.out.with_name(f".{args.out.name}.{os.getpid()}")
    with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(parts):
            entry = tarfile.TarInfo(name)
            entry.size = len(parts[name])
            archive.addfile(entry, io.BytesIO(parts[name]))
    unfinished.replace(args.out)


if __name__ == "__main__":
    write(arguments())
