"""Configuration of the documentation: ``make docs``."""
import bkdsnn

project = 'bkdsnn'
release = version = bkdsnn.__version__
html_show_copyright = False

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.mathjax', 'sphinx.ext.viewcode']
myst_enable_extensions = ['amsmath', 'deflist', 'dollarmath']
myst_heading_anchors = 3
exclude_patterns = ['_build', 'benchmarks_measured.md']  # included by benchmarks.md

autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'bkdsnn {release}'
html_static_path = ['_static']
html_css_files = ['custom.css']
