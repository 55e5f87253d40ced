"""Which codes of errors a function can raise, as far as its source says so: by walking the calls from it.

What is followed: functions and methods whose class is known from annotations, properties, context managers, and
functions that are given to a thread. What a docstring says after "Raises" is believed. What is not followed: calls in a
`try` that catches errors of ours, callbacks, tasks that go on by themselves. So what is found can be raised; what is
not found may be raised all the same.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from banger.errors import CODES

PACKAGE = Path(__file__).parents[2] / "src"
# Whoever catches these catches ours.
_CATCHING = {"Error", "Exception", "BaseException"}
# Whose failure is nobody's who began it.
_BEGINS = {"create_task", "ensure_future", "in_background", "keep_going", "until_done", "_spawn"}
_THREADS = {"in_thread", "in_stoppable_thread", "partial"}
_WRAPPERS = {
    "Again",
    "AsyncIterator",
    "Iterator",
    "Awaitable",
    "Coroutine",
    "AsyncGenerator",
    "Generator",
    "Self",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Module:
    name: str
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What a name is: of which module ("" for a module itself), and its name there."""


@dataclass(frozen=True, eq=False)
class Class:
    module: Module
    node: ast.ClassDef

    @property
    def is_protocol(self) -> bool:
        return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in self.node.bases)


@dataclass(frozen=True, eq=False)
class Place:
    """A function where it stands: in a class, or in none."""

    module: Module
    node: Function
    owner: Class | None = None


@cache
def module_of(name: str) -> Module | None:
    path = PACKAGE / (name.replace(".", "/") + ".py")
    if not path.is_file():
        path = PACKAGE / name.replace(".", "/") / "__init__.py"
    if not path.is_file():
        return None
    found = Module(name)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, Function):
            found.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found.classes[node.name] = Class(found, node)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found.imported[alias.asname or alias.name] = (node.module, alias.name)
    return found


def find_function(module: Module, name: str) -> Place | Class | None:
    """What a name means that is called."""
    if name in module.functions:
        return Place(module, module.functions[name])
    if name in module.classes:
        return module.classes[name]
    origin = module.imported.get(name)
    above = module_of(origin[0]) if origin and origin[0].startswith("banger") else None
    return find_function(above, origin[1]) if above is not None and origin is not None else None


def find_class(module: Module, annotation: ast.expr | None) -> Class | None:
    """The one class of ours that an annotation names, wrapped or optional."""
    if annotation is None:
        return None
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return find_class(module, ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.Name):
        found = find_function(module, annotation.id)
        return found if isinstance(found, Class) else None
    if isinstance(annotation, ast.BinOp):
        sides = [find_class(module, side) for side in (annotation.left, annotation.right)]
        return next((side for side in sides if side is not None), None)
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        if annotation.value.id in _WRAPPERS:
            inner = annotation.slice
            return find_class(module, inner.elts[-1] if isinstance(inner, ast.Tuple) else inner)
        return find_class(module, annotation.value)
    return None


def item_class(module: Module, annotation: ast.expr | None) -> Class | None:
    """Of what is in a dictionary or list that is annotated."""
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        return find_class(module, inner.elts[-1] if isinstance(inner, ast.Tuple) else inner)
    return None


def method_of(owner: Class, name: str) -> Place | None:
    for node in owner.node.body:
        if isinstance(node, Function) and node.name == name:
            return Place(owner.module, node, owner)
    for base in owner.node.bases:
        above = find_class(owner.module, base)
        found = method_of(above, name) if above is not None else None
        if found is not None:
            return found
    return None


def attribute_annotation(owner: Class, name: str) -> tuple[Module, ast.expr] | None:
    """How an attribute was declared: in the class, or in its `__init__`."""
    for node in owner.node.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return owner.module, node.annotation
    made = method_of(owner, "__init__")
    if made is not None:
        parameters = {one.arg: one.annotation for one in _parameters(made.node)}
        for inner in ast.walk(made.node):
            if isinstance(inner, ast.AnnAssign) and _is_own(inner.target, name):
                return owner.module, inner.annotation
            if isinstance(inner, ast.Assign):
                for target, value in _pairs(inner):
                    if _is_own(target, name):
                        annotation = parameters.get(value.id) if isinstance(value, ast.Name) else None
                        if annotation is not None:
                            return owner.module, annotation
                        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                            return owner.module, value.func
    return None


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def _is_own(target: ast.expr, name: str) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and target.attr == name
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    )


def _parameters(node: Function) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


class Walk:
    """Of one function: what it raises itself, and what it calls."""

    def __init__(self, place: Place, follows_work: bool) -> None:
        self.place = place
        self.follows_work = follows_work
        self.codes: set[str] = set()
        self.calls: list[Place] = []
        self.local: dict[str, Class] = {}
        self.nested = {
            n.name: n for n in ast.walk(place.node) if isinstance(n, Function) and n is not place.node
        }
        for parameter in _parameters(place.node):
            known = find_class(place.module, parameter.annotation)
            if known is not None:
                self.local[parameter.arg] = known
        if place.owner is not None:
            self.local["self"] = place.owner
        self.codes |= said_in(ast.get_docstring(place.node) or "")
        self._statements(place.node.body)

    def _statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, Function | ast.ClassDef):
            return
        if isinstance(node, ast.Try):
            if not any(_catches(handler) and not _raises_again(handler) for handler in node.handlers):
                self._statements(node.body)
            for handler in node.handlers:
                self._statements(handler.body)
            self._statements(node.orelse)
            self._statements(node.finalbody)
            return
        if isinstance(node, ast.With | ast.AsyncWith):
            self._with(node)
            return
        if isinstance(node, ast.Assign):
            for target, value in _pairs(node):
                found = self.type_of(value)
                if isinstance(target, ast.Name) and found is not None:
                    self.local[target.id] = found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child)
            else:
                self._expression(child)

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self._expression(item.context_expr)
            found = self.type_of(item.context_expr)
            if isinstance(item.optional_vars, ast.Name) and found is not None:
                self.local[item.optional_vars.id] = found
        if not any(_suppresses(item.context_expr) for item in node.items):
            self._statements(node.body)

    def _expression(self, node: ast.AST) -> None:
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.Call):
            self._call(node)
            if _name_of(node.func) in _BEGINS:
                return
        elif isinstance(node, ast.Attribute) and (known := self.type_of(node.value)) is not None:
            shown = method_of(known, node.attr)
            if shown is not None and any(
                isinstance(d, ast.Name) and d.id == "property" for d in shown.node.decorator_list
            ):
                self.calls.append(shown)
        for child in ast.iter_child_nodes(node):
            self._expression(child)

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "Error" and node.args:
            first = node.args[0]
            options = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            self.codes |= {
                o.value for o in options if isinstance(o, ast.Constant) and isinstance(o.value, str)
            }
            return
        called = self._called(node.func)
        if called is not None:
            self.calls.append(called)
        if isinstance(node.func, ast.Name) and node.func.id in _THREADS and node.args:
            work = node.args[0]
            given = self._called(
                work.body.func if isinstance(work, ast.Lambda) and isinstance(work.body, ast.Call) else work
            )
            if given is not None:
                self.calls.append(given)
        if self.follows_work:
            for argument in node.args:
                if isinstance(argument, ast.Name) and argument.id in self.nested:
                    self.calls.append(Place(self.place.module, self.nested[argument.id], self.place.owner))

    def _called(self, func: ast.expr) -> Place | None:
        if isinstance(func, ast.Name):
            if func.id in self.nested:
                return Place(self.place.module, self.nested[func.id], self.place.owner)
            found = find_function(self.place.module, func.id)
            return method_of(found, "__init__") if isinstance(found, Class) else found
        if isinstance(func, ast.Attribute):
            owner = self.type_of(func.value)
            if owner is not None:
                return method_of(owner, func.attr)
            if isinstance(func.value, ast.Name) and func.value.id in self.place.module.imported:
                room, name = self.place.module.imported[func.value.id]
                module = module_of(f"{room}.{name}")
                found = find_function(module, func.attr) if module is not None else None
                return method_of(found, "__init__") if isinstance(found, Class) else found
        return None

    def type_of(self, node: ast.expr) -> Class | None:
        if isinstance(node, ast.Await):
            return self.type_of(node.value)
        if isinstance(node, ast.Name):
            return self.local.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.type_of(node.value)
            if owner is None:
                return None
            shown = method_of(owner, node.attr)
            if shown is not None:
                return find_class(shown.module, shown.node.returns)
            declared = attribute_annotation(owner, node.attr)
            return find_class(*declared) if declared is not None else None
        if isinstance(node, ast.Subscript):
            return self._item_of(node.value)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
                found = self._item_of(node.func.value)
                if found is not None:
                    return found
            if isinstance(node.func, ast.Name):
                made = find_function(self.place.module, node.func.id)
                if isinstance(made, Class):
                    return made
            called = self._called(node.func)
            if called is not None and called.node.name != "__init__":
                return find_class(called.module, called.node.returns)
        return None

    def _item_of(self, node: ast.expr) -> Class | None:
        if isinstance(node, ast.Attribute) and (owner := self.type_of(node.value)) is not None:
            declared = attribute_annotation(owner, node.attr)
            return item_class(*declared) if declared is not None else None
        return None


def _name_of(func: ast.expr) -> str:
    return func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""


def said_in(docstring: str) -> set[str]:
    """Codes after "Raises", and no names of classes."""
    sentence = docstring.partition("Raises ")[2].partition(".")[0]
    return set(sentence.split("`")[1::2]) & set(CODES)


def _catches(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _CATCHING) for kind in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whatever comes: what is caught is just seen off."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _suppresses(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and any(
        isinstance(one, ast.Name) and one.id in _CATCHING for one in node.args
    )


def raised_by(
    module: str, function: str, follows_work: bool, never: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Each code with the calls that lead to it. `follows_work`: also functions within, that are given to others.
    `never` are functions that do not fail where they are called."""
    found = module_of(module)
    assert found is not None
    todo: list[tuple[Place, tuple[str, ...]]] = [(Place(found, found.functions[function]), (function,))]
    seen: set[int] = set()
    codes: dict[str, tuple[str, ...]] = {}
    for place, way in todo:
        if id(place.node) in seen:
            continue
        seen.add(id(place.node))
        walk = Walk(place, follows_work and len(way) == 1)
        for code in walk.codes:
            codes.setdefault(code, way)
        todo += [(called, (*way, called.node.name)) for called in walk.calls if called.node.name not in never]
    return codes
