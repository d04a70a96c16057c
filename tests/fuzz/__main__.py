"""python -m tests.fuzz --inputs 5000 --seed 0 --out failures.jsonl"""

from __future__ import annotations

from tests.fuzz.drive import main

if __name__ == "__main__":
    main()
