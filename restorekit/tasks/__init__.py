"""The use-cases: settings and arrays or files in, results and notes out."""
