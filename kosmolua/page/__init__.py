"""Parts of HTML pages about runs: escaped markup, the timeline, inputs and outputs, the table of calls, and styles."""
