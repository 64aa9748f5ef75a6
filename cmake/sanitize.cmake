# KRYLOV_SANITIZE: the whole build with these sanitizers, asserts on, and a
# report that ends the process, so that a test cannot pass over it.
if(KRYLOV_SANITIZE)
  list(JOIN KRYLOV_SANITIZE "," sanitizers)
  # Instrumented kernels take twice as long to compile at -O2 and run no faster.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1")
  add_compile_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -UNDEBUG)
  if("address" IN_LIST KRYLOV_SANITIZE)
    # Checked at every access they are a quarter of the compile time, and a null pointer ends the process anyway.
    add_compile_options(-fno-sanitize=null,alignment)
  endif()
  add_link_options(-fsanitize=${sanitizers})
  if("thread" IN_LIST KRYLOV_SANITIZE AND KRYLOV_OPENMP)
    message(FATAL_ERROR "the thread sanitizer does not know the locks of libgomp: add -DKRYLOV_OPENMP=OFF")
  endif()
endif()
