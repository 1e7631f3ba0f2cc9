"""A real data set: the paths and blobs of this repository's history and of the packages installed in it."""

import hashlib
import os
import pathlib
import stat
import subprocess
import sysconfig

from cluster import ROOT


def collect(at_least):
    """{key: value}: history:PATH@BLOB → size, path:PATH → "BLOB size", blob:BLOB → size, tree:FOLDER → number of names.
    Python's own library is added where the rest has fewer than `at_least`."""
    records = history()
    folders = [ROOT / "node_modules", pathlib.Path(sysconfig.get_paths()["purelib"])]
    for folder in [*folders, pathlib.Path(sysconfig.get_paths()["stdlib"])]:
        if folder in folders or len(records) < at_least:
            add_folder(records, folder)
    return records


def history():
    """Every blob that a commit of this repository ever had at a path; empty where this isn't a git checkout."""
    command = ["git", "-C", ROOT, "-c", "core.quotePath=false", "rev-list", "--objects", "--all"]
    listed = subprocess.run(command, capture_output=True, check=False)
    if listed.returncode != 0:
        return {}
    check = ["git", "-C", ROOT, "cat-file", "--batch-check=%(objecttype) %(objectname) %(objectsize) %(rest)"]
    objects = subprocess.run(check, input=listed.stdout, capture_output=True, check=True).stdout.decode(
        errors="replace"
    )
    fields = (line.split(" ", 3) for line in objects.splitlines())
    return {f"history:{path}@{name}": size for kind, name, size, path in fields if kind == "blob"}


def add_folder(records, folder):
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in ("__pycache__", ".cache", ".vite", ".vitest", "site-packages")
        ]
        records[f"tree:{shown(parent)}"] = str(len(folders) + len(names))
        for name in names:
            path = os.path.join(parent, name)
            if not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            blob, size = hash_blob(path)
            records[f"path:{shown(path)}"] = f"{blob} {size}"
            records[f"blob:{blob}"] = str(size)


def shown(path):
    """The path from the repository's root where it is inside, and always valid text."""
    return os.path.relpath(path, ROOT).encode(errors="replace").decode()


def hash_blob(path):
    """The name that git would give to the file's content, and its size in bytes."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest(), size
