import latchwork
from setuptools import Extension, setup

sources = ["counter.c", *latchwork.get_sources()]
macros = [("LW_PYTHON", "1")]
include = [latchwork.get_include()]
setup(
    name="counter",
    ext_modules=[Extension("counter", sources, define_macros=macros, include_dirs=include)],
)
