"""Counts bytecode instructions and calls of C functions, in every greenlet but one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import greenlet

if sys.version_info >= (3, 12):

    class _Hooks:
        """PEP 669. From 3.12 on, trace functions that are set per greenlet may crash the interpreter."""

        def __init__(self, counter: Counter) -> None:
            self._counter = counter
            self._on = False
            monitoring = sys.monitoring
            self._tool = monitoring.PROFILER_ID
            monitoring.use_tool_id(self._tool, "wsgw bench")
            events = monitoring.events
            monitoring.register_callback(self._tool, events.INSTRUCTION, self._instruction)
            for event in (events.C_RETURN, events.C_RAISE):
                monitoring.register_callback(self._tool, event, self._c_call)
            # The ends of C calls are reported only together with their beginnings.
            monitoring.register_callback(self._tool, events.CALL, lambda *_: None)
            monitoring.set_events(self._tool, events.INSTRUCTION | events.CALL)

        def switch(self, on: bool) -> None:
            self._on = on

        def _instruction(self, _code: Any, _offset: int) -> None:
            self._counter.instructions += self._on

        def _c_call(self, *_what: Any) -> None:
            self._counter.c_calls += self._on

        def stop(self) -> None:
            sys.monitoring.set_events(self._tool, 0)
            sys.monitoring.free_tool_id(self._tool)

else:

    class _Hooks:
        """Trace functions, which the interpreter has for each thread, not for each greenlet."""

        def __init__(self, counter: Counter) -> None:
            self._counter = counter

        def switch(self, on: bool) -> None:
            sys.settrace(self._trace if on else None)
            sys.setprofile(self._profile if on else None)

        def _trace(self, frame: FrameType, event: str, _arg: Any) -> Any:
            if event == "call":
                frame.f_trace_opcodes = True
                frame.f_trace_lines = False
            elif event == "opcode":
                self._counter.instructions += 1
            return self._trace

        def _profile(self, _frame: FrameType, event: str, _arg: Any) -> None:
            self._counter.c_calls += event == "c_call"

        def stop(self) -> None:
            self.switch(False)


class Counter:
    """Counts while any greenlet runs except the one that created it."""

    def __init__(self) -> None:
        self.instructions = 0
        self.c_calls = 0
        self._maker = greenlet.getcurrent()
        self._hooks = _Hooks(self)
        greenlet.settrace(self._switched)

    def _switched(self, _event: str, greenlets: tuple[Any, Any]) -> None:
        self._hooks.switch(greenlets[1] is not self._maker)

    def of(self, step: Callable[[], None]) -> tuple[int, int]:
        """Instructions and C calls of the other greenlets while ``step`` lets them run."""
        before = self.instructions, self.c_calls
        step()
        return self.instructions - before[0], self.c_calls - before[1]

    def stop(self) -> None:
        """Stop counting."""
        greenlet.settrace(None)
        self._hooks.stop()
