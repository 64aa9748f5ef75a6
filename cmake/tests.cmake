# The native tests: one program, run once for each instruction set that can be
# asked for. doctest's header is copied, so that a cross build sees it and no
# other header of the host.
find_path(KRYLOV_DOCTEST_DIRECTORY doctest/doctest.h NO_CMAKE_FIND_ROOT_PATH
  DOC "The directory that holds doctest/doctest.h")
if(NOT KRYLOV_DOCTEST_DIRECTORY)
  message(FATAL_ERROR "doctest/doctest.h was not found: install doctest-dev or set KRYLOV_TESTS=OFF")
endif()
configure_file(${KRYLOV_DOCTEST_DIRECTORY}/doctest/doctest.h
  ${CMAKE_CURRENT_BINARY_DIR}/doctest/doctest/doctest.h COPYONLY)

krylov_read(test_files test)
krylov_read(reference_files reference)
krylov_read(test_include include test)
# What stands above the kernels and networks is the same code with every instruction set: one run tells what it has to
# tell, and under emulation it would take minutes. Beginnings of the names of files.
set(above_kernels allocation conjugate_gradient curvature_rows dense diagonals eigenpairs gradient_chain
  gradient_normalized hessian_alignment hessian_free kfac kronecker lanczos least_squares line_search minimizer minres
  network_objective network_point newton operators preconditioner privacy_noise quasi_newton radius_stage
  sample_weighting sampler shifted_systems spectra spectrum stability task_stage threads trace training)
if("neon" IN_LIST krylov_sets)
  list(JOIN above_kernels "|" pattern)
  list(FILTER test_files EXCLUDE REGEX "/(${pattern})[a-z_]*_test[.]cpp$")
endif()
# The address sanitizer is to look at the core: the tests' own code is left out of it, takes a third of the time to
# compile that way, and is the plain build's.
list(FILTER test_files EXCLUDE REGEX "/main[.]cpp$")
function(krylov_test_options target)
  target_include_directories(${target} PRIVATE ${test_include})
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/doctest)
  target_compile_definitions(${target} PRIVATE KRYLOV_SOURCE_DIRECTORY="${CMAKE_CURRENT_SOURCE_DIR}")
  # Compiled quickly rather than well; the core is as it ships.
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  if("address" IN_LIST KRYLOV_SANITIZE)
    target_compile_options(${target} PRIVATE -fno-sanitize=all)
  endif()
endfunction()
set(KRYLOV_TEST_CODE "" CACHE FILEPATH "Archive krylov_test_code of another build for this processor, which the tests then link")
set(test_code "${KRYLOV_TEST_CODE}")
if(NOT test_code)
  add_library(krylov_test_code STATIC ${test_files} ${reference_files})
  krylov_test_options(krylov_test_code)
  # Not the core itself: this can be built without it.
  target_link_libraries(krylov_test_code PRIVATE krylov_flags)
  target_precompile_headers(krylov_test_code PRIVATE ${KRYLOV_COMMON_HEADERS} <doctest/doctest.h>)
  if("neon" IN_LIST krylov_sets AND CMAKE_CROSSCOMPILING_EMULATOR)
    target_compile_definitions(krylov_test_code PRIVATE KRYLOV_EMULATED)
  endif()
  set(test_code $<TARGET_FILE:krylov_test_code>)
endif()
add_executable(krylov_tests native/test/main.cpp)
krylov_test_options(krylov_tests)
if(TARGET krylov_test_code)
  add_dependencies(krylov_tests krylov_test_code)
endif()
# Nobody calls a test by its name.
target_link_libraries(krylov_tests PRIVATE -Wl,--whole-archive ${test_code} -Wl,--no-whole-archive krylov_core)

foreach(set IN LISTS krylov_sets)
  krylov_objects(krylov_test_${set} test_${set} test ${set})
  if(TARGET krylov_test_${set})
    target_include_directories(krylov_test_${set} SYSTEM PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/doctest)
    target_compile_options(krylov_test_${set} PRIVATE -fexceptions)
    target_sources(krylov_tests PRIVATE $<TARGET_OBJECTS:krylov_test_${set}>)
  endif()
endforeach()

# A request that no machine can meet must come back as std::bad_alloc under the
# sanitizer too. Few frames of each allocation are kept: the stacks of coroutines
# and tests are so many that whole ones take most of the time.
set(test_environment
  ASAN_OPTIONS=allocator_may_return_null=1:malloc_context_size=2
  TSAN_OPTIONS=allocator_may_return_null=1
  UBSAN_OPTIONS=print_stacktrace=1)
# The kernels of every set are tested in each run; further runs take whole
# networks through the other sets, which qemu and the sanitizers are too slow
# for. On arm64 the set under test is the one that has to be asked for.
list(TRANSFORM above_kernels REPLACE "(.+)" "*/test/\\1*")
list(JOIN above_kernels "," above_kernels)
if("neon" IN_LIST krylov_sets)
  set(test_sets neon)
elseif(KRYLOV_SANITIZE)
  set(test_sets default)
else()
  set(test_sets default avx2 baseline)
endif()
# Emulation and sanitizers are slow, and share out over two processors: two runs, each of about half the files.
set(first_half "")
foreach(letter a b c d e g h i j k l p)
  list(APPEND first_half "*/test/${letter}*")
endforeach()
list(JOIN first_half "," first_half)
foreach(set IN LISTS test_sets)
  set(environment ${test_environment})
  if(NOT set STREQUAL "default")
    list(APPEND environment KRYLOV_ISA=${set})
  endif()
  if(KRYLOV_SANITIZE OR set STREQUAL "neon")
    add_test(NAME ${set}-1 COMMAND krylov_tests "-sf=${first_half}")
    add_test(NAME ${set}-2 COMMAND krylov_tests "-sfe=${first_half}")
    set(names ${set}-1 ${set}-2)
  else()
    set(left_out "")
    if(NOT set STREQUAL "default")
      set(left_out "-sfe=${above_kernels}")
    endif()
    add_test(NAME ${set} COMMAND krylov_tests ${left_out})
    set(names ${set})
  endif()
  set_tests_properties(${names} PROPERTIES ENVIRONMENT "${environment}")
endforeach()
