"""Tells CMake of the interpreter that runs this: name, suffix, include folder, PyMutex or not."""

import os
import sys
import sysconfig

include = sysconfig.get_path("include")
if not os.path.exists(os.path.join(include, "Python.h")):
    sys.exit(f"{sys.executable} has no Python.h in {include}: install its development package")
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(
    f"{sys.version_info.major}.{sys.version_info.minor}{'t' if free_threaded else ''}",
    sysconfig.get_config_var("EXT_SUFFIX"),
    include,
    int(sys.version_info >= (3, 13)),
    sep=";",
)
