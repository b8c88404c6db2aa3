# SPDX-License-Identifier: BSD-2-Clause
# find_package(latchwork) for an extension module, from the Python package
# (latchwork.get_cmake_dir()). The package carries sources and no compiled library, so each target
# that links one of these compiles its own copy:
#   latchwork::python   for an extension module: with <latchwork/cpython.h>
#   latchwork::core     without Python

include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)

if(NOT TARGET latchwork::core)
    get_filename_component(latchwork_package_dir ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
    foreach(kind core python)
        add_library(latchwork::${kind} INTERFACE IMPORTED)
        set_target_properties(latchwork::${kind} PROPERTIES
            INTERFACE_SOURCES ${latchwork_package_dir}/src/all.c
            INTERFACE_INCLUDE_DIRECTORIES ${latchwork_package_dir}/include
            INTERFACE_COMPILE_FEATURES c_std_11
            INTERFACE_LINK_LIBRARIES Threads::Threads)
    endforeach()
    set_property(TARGET latchwork::python PROPERTY INTERFACE_COMPILE_DEFINITIONS LW_PYTHON)
    unset(latchwork_package_dir)
endif()
