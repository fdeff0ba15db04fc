"""This installation and machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgett.schema.parts import ABSENT, Count, Document, Part, Problem, Rare, Text

State = Literal["ok", "missing", "other version", "broken"]


class PythonRow(Part):
    version: Text = Field(description="the one that runs")
    needed: Text = Field(description="versions that will do")
    ok: bool = Field(description="whether it is one of them")


class Hardware(Part):
    """What there is to work with."""

    processor: Text = Field(description="what it calls itself")
    architecture: Text = Field(description="such as x86_64 or aarch64")
    system: Text = Field(description="operating system and release")
    processors: Count = Field(description="how many there are")
    usable: Count = Field(description="those that this process may use")
    memory: Count = Field(description="bytes")
    available: Count = Field(description="bytes of that")
    simd: list[Text] = Field(description="extensions that the runtimes have kernels for")
    free: dict[Text, Count | None] = Field(description="bytes on the disk, by folder; null: it cannot be told")


class LibraryDocument(Part):
    """A Python library."""

    name: Text = Field(description="as pip knows it")
    needed: Text = Field(description="versions that will do")
    version: Text | None = Field(description="the one that is there; null: none, or nobody can tell")
    state: State = Field(description="what was found")


class ExtraDocument(Part):
    """Libraries that are installed together, for something that not everybody wants."""

    name: Text = Field(description="behind edgett in brackets")
    enables: Text = Field(description="what needs it")
    install: Text = Field(description="the command that installs it")
    ok: bool = Field(description="whether all of it is there")
    libraries: list[LibraryDocument] = Field(description="what belongs to it")


class ToolDocument(Part):
    """A program that some commands can use."""

    name: Text = Field(description="of the program")
    enables: Text = Field(description="what needs it")
    debian: Text = Field(description="the packages of Debian that have it")
    path: Text | None = Field(description="where it was found")
    version: Text | None = Field(description="as it tells it")
    state: State = Field(description="what was found")
    install: Text = Field(description="the command that installs it")


class HealthDocument(Document):
    """This installation and machine."""

    ok: bool = Field(description="whether all is there that every command needs")
    edgett: Text = Field(description="its version")
    python: PythonRow = Field(description="the interpreter")
    machine: Hardware = Field(description="what there is to work with")
    libraries: list[LibraryDocument] = Field(description="those that every command needs")
    extras: list[ExtraDocument] = Field(description="optional libraries")
    tools: list[ToolDocument] = Field(description="optional programs")
    error: Rare[Problem] = Field(default=ABSENT, description="what keeps edgett from working")
