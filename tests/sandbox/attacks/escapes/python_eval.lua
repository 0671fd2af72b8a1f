return python.eval('__import__("os").environ')
