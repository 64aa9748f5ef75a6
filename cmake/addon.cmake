# The addon, when cmake-js drives the build. N-API needs no headers but Node's
# own and node-addon-api's.
execute_process(
  COMMAND node -p "require('node-addon-api').include_dir"
  WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
  OUTPUT_VARIABLE node_addon_api_include
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)

krylov_read(binding_files binding)
add_library(krylov SHARED ${binding_files} ${CMAKE_JS_SRC})
set_target_properties(krylov PROPERTIES PREFIX "" SUFFIX ".node")
target_include_directories(krylov SYSTEM PRIVATE ${node_addon_api_include} ${CMAKE_JS_INC})
target_compile_definitions(krylov PRIVATE NAPI_VERSION=8 NAPI_CPP_EXCEPTIONS NODE_ADDON_API_CPP_EXCEPTIONS_ALL)
target_link_libraries(krylov PRIVATE krylov_core ${CMAKE_JS_LIB})
# The helpers of the OpenMP team live as long as the process, so the addon must
# never be unloaded.
target_link_options(krylov PRIVATE -Wl,-z,nodelete)
