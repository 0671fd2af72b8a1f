"""The prompt that people stay in: what is typed, shown and completed there. What it knows of text is pure functions;
prompt-toolkit is for `kosmolua.repl.shell` and its wiring alone.
"""
