"""Fuzzing: any bytes are accepted, or refused with a documented error; nothing else happens.

targets    the table: name, what is run, which words help to get deep
oracles    what the targets compare with: chunkings, expat as it comes, frames read back
wires, documents, machines
           the targets: bytes of a browser, XML and configurations, the two state machines
run        the program: coverage-guided (atheris), or one input after the other
corpus/, regressions/
           inputs to start from, and inputs that once broke the contract; one folder a target
"""
