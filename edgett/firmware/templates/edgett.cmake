# Runs edgett at build time, when and only when something that its result depends on has changed:
#
#   edgett_add_model(TARGET app MODEL model.keras DATA data.npz PROFILE cortex-m4)
#
# TARGET   what links the model, as the library edgett::NAME with the header NAME.h
# MODEL    a Keras model, or example:NAME             DATA     its data; may be left out for example:clock
# PROFILE  a target of edgett's, or a .toml           NAME     the model's name in C; from MODEL where it is left out
# FORMAT   c or tflm                                  DTYPE    float32 or int8; the profile's where it is left out
# OPTIONS  anything else that 'edgett compress' takes, such as --epochs 1; what ./edgett.toml says counts too
# NO_GATE  do not measure the linked TARGET against the profile's budgets
#
# Without NO_GATE the build fails when a cross-compiled TARGET is over its budgets.
include_guard(GLOBAL)

function(edgett_add_model)
  cmake_parse_arguments(PARSE_ARGV 0 _ "NO_GATE" "TARGET;MODEL;DATA;PROFILE;NAME;FORMAT;DTYPE" "OPTIONS")
  if(__KEYWORDS_MISSING_VALUES)
    message(FATAL_ERROR "edgett_add_model: ${__KEYWORDS_MISSING_VALUES}: its value is missing")
  endif()
  foreach(_key TARGET MODEL PROFILE)
    if(NOT __${_key})
      message(FATAL_ERROR "edgett_add_model: ${_key} is missing")
    endif()
  endforeach()
  if(__UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "edgett_add_model: ${__UNPARSED_ARGUMENTS}: not known")
  endif()
  _edgett_choice(FORMAT "${__FORMAT}" c tflm)
  _edgett_choice(DTYPE "${__DTYPE}" float32 int8)
  find_program(EDGETT_EXECUTABLE edgett DOC "The program edgett (pip install 'edgett[firmware]')")
  if(NOT EDGETT_EXECUTABLE)
    message(FATAL_ERROR "edgett_add_model: there is no edgett here: pip install 'edgett[firmware]'")
  endif()
  if(NOT CMAKE_C_COMPILER)
    message(FATAL_ERROR "edgett_add_model: the model is C: add C to the LANGUAGES of project()")
  endif()
  if(NOT __NAME)
    get_filename_component(__NAME "${__MODEL}" NAME_WE)
    string(REGEX REPLACE "^example:" "" __NAME "${__NAME}")
  endif()
  # Before hours are spent on a model that cannot be packed.
  execute_process(COMMAND "${EDGETT_EXECUTABLE}" firmware name "${__NAME}" RESULT_VARIABLE _failed ERROR_VARIABLE _why)
  if(_failed)
    message(FATAL_ERROR "edgett_add_model: NAME: ${_why}")
  endif()
  if(NOT __FORMAT)
    set(__FORMAT c)
  endif()
  if(TARGET edgett::${__NAME})
    target_link_libraries(${__TARGET} PRIVATE edgett::${__NAME})
    return()
  endif()

  _edgett_file("${__MODEL}" _model _model_file)
  _edgett_file("${__DATA}" _data _data_file)
  _edgett_file("${__PROFILE}" _profile _profile_file)
  # What edgett finds here by itself.
  file(GLOB _project "${CMAKE_CURRENT_SOURCE_DIR}/edgett.toml" "${CMAKE_CURRENT_SOURCE_DIR}/targets/${__PROFILE}.toml")
  set(_folder "${CMAKE_CURRENT_BINARY_DIR}/edgett/${__NAME}")
  set(_package "${_folder}/package")
  set(_compress compress "${_model}" --target "${_profile}" --out "${_folder}/run" --resume --fresh --quiet)
  if(__DATA)
    list(APPEND _compress --data "${_data}")
  endif()
  if(__DTYPE)
    list(APPEND _compress --dtype "${__DTYPE}")
  endif()
  set(_code "${_package}/src/${__NAME}.c")
  if(__FORMAT STREQUAL tflm)
    set(_code "${_package}/src/${__NAME}_model.c")
  endif()
  set(_made "${_code}" "${_package}/include/${__NAME}.h" "${_package}/test/${__NAME}_selftest.c"
            "${_package}/include/${__NAME}_selftest.h")
  # A file that comes out as it was is not written again: the stamp says that it was looked at.
  add_custom_command(
    OUTPUT "${_folder}/stamp"
    BYPRODUCTS ${_made}
    COMMAND "${EDGETT_EXECUTABLE}" ${_compress} ${__OPTIONS}
    COMMAND "${EDGETT_EXECUTABLE}" firmware pack "${_folder}/run" --out "${_package}" --name "${__NAME}"
            --format "${__FORMAT}" --quiet
    COMMAND "${CMAKE_COMMAND}" -E touch "${_folder}/stamp"
    DEPENDS ${_model_file} ${_data_file} ${_profile_file} ${_project} "${EDGETT_EXECUTABLE}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    COMMENT "edgett compresses ${__MODEL} for ${__PROFILE}"
    VERBATIM)
  add_custom_target(edgett_${__NAME}_files DEPENDS "${_folder}/stamp")
  set_source_files_properties(${_made} PROPERTIES GENERATED TRUE)
  add_library(edgett_${__NAME} STATIC "${_code}")
  add_library(edgett_${__NAME}_selftest STATIC EXCLUDE_FROM_ALL "${_package}/test/${__NAME}_selftest.c")
  foreach(_library edgett_${__NAME} edgett_${__NAME}_selftest)
    add_dependencies(${_library} edgett_${__NAME}_files)
    target_include_directories(${_library} PUBLIC "${_package}/include")
    set_target_properties(${_library} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
  endforeach()
  target_link_libraries(edgett_${__NAME} PUBLIC $<$<NOT:$<C_COMPILER_ID:MSVC>>:m>)
  add_library(edgett::${__NAME} ALIAS edgett_${__NAME})
  add_library(edgett::${__NAME}_selftest ALIAS edgett_${__NAME}_selftest)
  target_link_libraries(${__TARGET} PRIVATE edgett::${__NAME})
  if(CMAKE_CROSSCOMPILING AND NOT __NO_GATE)
    add_custom_command(
      TARGET ${__TARGET} POST_BUILD
      COMMAND "${EDGETT_EXECUTABLE}" firmware size "$<TARGET_FILE:${__TARGET}>" --target "${_profile}" --name "${__NAME}"
              --quiet
      WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
      VERBATIM)
  endif()
endfunction()

# What edgett is told, and the file to depend on: a path is relative to the CMakeLists.txt, and need not be there yet.
function(_edgett_file text told file)
  set(${file} "" PARENT_SCOPE)
  set(${told} "${text}" PARENT_SCOPE)
  if(text MATCHES "[.](keras|h5|npz|toml)$")
    get_filename_component(_path "${text}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
    set(${file} "${_path}" PARENT_SCOPE)
    set(${told} "${_path}" PARENT_SCOPE)
  endif()
endfunction()

function(_edgett_choice key value)
  if(value AND NOT value IN_LIST ARGN)
    string(REPLACE ";" " or " _allowed "${ARGN}")
    message(FATAL_ERROR "edgett_add_model: ${key} is ${value}: it must be ${_allowed}")
  endif()
endfunction()
