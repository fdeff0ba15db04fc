"""HDF5 files of strangers, read without following them anywhere else."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


class Damaged(ValueError):
    """What is wrong with a file."""


def child(group: Any, path: str) -> Any:
    """What lies below a group, or None. Raises Damaged for what lies in another file, or is a link to elsewhere."""
    for name in path.split("/"):
        if not isinstance(group, h5py.Group) or name in ("", ".", "..") or name not in group:
            return None
        if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
            raise Damaged(f"{path!r} in it is a link")
        group = group[name]
    return group


def subgroup(group: Any, path: str) -> Any:
    """A group below another, or None."""
    found = child(group, path)
    return found if isinstance(found, h5py.Group) else None


def array(group: Any, path: str, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Numbers of a shape that is known. Raises Damaged where there are others or none, before anything is read."""
    found = child(group, path)
    if not isinstance(found, h5py.Dataset):
        raise Damaged(f"it has no weight {path!r} for {what}")
    if found.external or found.is_virtual:
        raise Damaged(f"{path!r} in it lies in another file")
    if found.shape != shape:
        raise Damaged(f"{path!r} has the shape {found.shape}, {what} takes {shape}")
    if found.dtype.kind not in "biuf" and str(found.dtype) != "bfloat16":
        raise Damaged(f"{path!r} holds {found.dtype}, not numbers")
    return np.asarray(found)


def names(group: Any, attribute: str) -> list[str]:
    """A list of names, which Keras cuts into pieces where it is too long for one attribute."""
    parts = [attribute] if attribute in group.attrs else []
    while not parts or parts[0] != attribute:
        if f"{attribute}{len(parts)}" not in group.attrs:
            break
        parts.append(f"{attribute}{len(parts)}")
    return [text(item) for part in parts for item in np.atleast_1d(group.attrs[part])]


def text(value: Any) -> str:
    """A string, however it is stored."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
