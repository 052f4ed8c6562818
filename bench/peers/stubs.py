"""Stands in for packages that timm and others import but that these benchmarks do not use."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types


def stub(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return StubType(name, (), {})


class StubType(type):
    def __getattr__(cls, name):  # the members of an enumeration
        return stub(name)


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives any module in some packages, with a new class for any name asked of it."""

    def __init__(self, *packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if not any(name == package or name.startswith(package + ".") for package in self.packages):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = stub
        return module

    def exec_module(self, module):
        pass


def stub_missing(*packages):
    """Replaces those that are not installed by empty classes."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        sys.meta_path.insert(0, StubFinder(*missing))
