"""What one block of a radar scene becomes, measured before and judged after; on arrays and on files."""
