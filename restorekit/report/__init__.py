"""Reports as one self-contained HTML page: no network, no files beside it, readable without JavaScript.

A module per page gathers what it shows; `template.render` fills the template of the page in `templates/`.
"""
