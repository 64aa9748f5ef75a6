# Reads native/sources.json, the one list of sources and flags.
set(KRYLOV_SOURCES_FILE ${CMAKE_CURRENT_SOURCE_DIR}/native/sources.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${KRYLOV_SOURCES_FILE})
file(READ ${KRYLOV_SOURCES_FILE} KRYLOV_SOURCES)

# krylov_read(<variable> <key>...): the array of strings at that place.
function(krylov_read variable)
  set(values "")
  string(JSON count LENGTH "${KRYLOV_SOURCES}" ${ARGN})
  if(count GREATER 0)
    math(EXPR last "${count} - 1")
    foreach(i RANGE ${last})
      string(JSON value GET "${KRYLOV_SOURCES}" ${ARGN} ${i})
      list(APPEND values ${value})
    endforeach()
  endif()
  set(${variable} ${values} PARENT_SCOPE)
endfunction()

# What nearly every file includes, read once instead of once a file.
set(KRYLOV_COMMON_HEADERS <algorithm> <array> <atomic> <chrono> <cmath> <coroutine> <cstdint> <cstring> <functional>
  <limits> <memory> <mutex> <optional> <span> <string> <utility> <vector>)

# krylov_objects(<target> <group> <include> <set>): the object files of a group,
# with the include directories of that name and the flags of that instruction
# set ("" for none). A group without files makes no target.
function(krylov_objects target group include set)
  krylov_read(files ${group})
  if(NOT files)
    return()
  endif()
  add_library(${target} OBJECT ${files})
  krylov_read(directories include ${include})
  target_include_directories(${target} PRIVATE ${directories})
  target_link_libraries(${target} PRIVATE krylov_flags)
  if(set)
    krylov_read(flags flags ${set})
    target_compile_options(${target} PRIVATE ${flags})
  else()
    target_precompile_headers(${target} PRIVATE ${KRYLOV_COMMON_HEADERS})
  endif()
endfunction()
