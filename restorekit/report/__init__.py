"""Reports as one self-contained HTML page: no network, no files beside it, readable without JavaScript.

`page.document` puts a page together from parts made with `html.tag`, `table.table` and `pictures`.
"""
