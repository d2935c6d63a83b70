"""Fuzzing: any bytes are accepted, or refused with a documented error.

targets    the table: name, function, words that help the fuzzer
oracles    the models that the targets compare with: chunkings, plain expat, frames read back
wires, documents, machines
           the targets: bytes of a browser, XML and configurations, the two state machines
run        the program: coverage-guided (atheris), or one input after the other
corpus/, regressions/
           inputs to start from, and inputs that once broke the contract; one folder a target
"""
