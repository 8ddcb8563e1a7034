# One library per module of the design, one test program beside it.
#
#   ringfence_module(policy
#     SOURCES policy.cc oci_reader.cc
#     DEPENDS base                      # ringfence modules, downward only
#     LIBRARIES nlohmann_json::nlohmann_json
#     TESTS policy_test.cc oci_reader_test.cc
#     TEST_LIBRARIES ...)
#
# A module is installed with its headers (cmake/RingfenceInstall.cmake), unless it says PRIVATE.
# Headers are included from the root of the tree: "harness/policy/policy.h".

add_library(ringfence_options INTERFACE)
target_compile_features(ringfence_options INTERFACE cxx_std_20)
# Warnings are for this tree, not for those who use what it installs: hence BUILD_INTERFACE.
set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
    -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
target_compile_options(ringfence_options INTERFACE
  "$<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:${warnings}>>")
# GCC 12 warns falsely on "x" + std::to_string(n) (gcc bug 105651).
target_compile_options(ringfence_options INTERFACE
  "$<BUILD_INTERFACE:$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>>")
target_include_directories(ringfence_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/ringfence>)
if(RINGFENCE_ASSERTIONS)
  target_compile_definitions(ringfence_options INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(RINGFENCE_SANITIZE)
  target_compile_options(ringfence_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${RINGFENCE_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer>)
  # Instrumented, GCC 12 sees uninitialized members in its own <regex> (gcc bug 105562).
  target_compile_options(ringfence_options INTERFACE
    "$<BUILD_INTERFACE:$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>>")
  target_link_options(ringfence_options INTERFACE -fsanitize=${RINGFENCE_SANITIZE})
endif()
if(RINGFENCE_TIDY)
  find_program(RINGFENCE_CLANG_TIDY NAMES clang-tidy clang-tidy-14 REQUIRED)
  # The options are those of the compiler, of which clang-tidy does not know every one.
  set(CMAKE_CXX_CLANG_TIDY ${RINGFENCE_CLANG_TIDY} --quiet
      --extra-arg=-Wno-unknown-warning-option)
endif()

function(ringfence_module NAME)
  cmake_parse_arguments(M "PRIVATE" "" "SOURCES;DEPENDS;LIBRARIES;TESTS;TEST_LIBRARIES" ${ARGN})
  add_library(ringfence_${NAME} STATIC ${M_SOURCES})
  add_library(ringfence::${NAME} ALIAS ringfence_${NAME})
  set_target_properties(ringfence_${NAME} PROPERTIES EXPORT_NAME ${NAME}
                        POSITION_INDEPENDENT_CODE ON)
  list(TRANSFORM M_DEPENDS PREPEND ringfence::)
  target_link_libraries(ringfence_${NAME} PUBLIC ringfence_options ${M_DEPENDS} ${M_LIBRARIES})
  if(NOT M_PRIVATE)
    set_property(GLOBAL APPEND PROPERTY RINGFENCE_MODULES ringfence_${NAME})
    set_property(GLOBAL APPEND PROPERTY RINGFENCE_MODULE_DIRS ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  if(RINGFENCE_TESTS AND M_TESTS)
    add_executable(ringfence_${NAME}_test ${M_TESTS})
    target_link_libraries(ringfence_${NAME}_test PRIVATE ringfence::${NAME} ${M_TEST_LIBRARIES}
                          GTest::gmock GTest::gtest_main)
    gtest_discover_tests(ringfence_${NAME}_test TEST_PREFIX ${NAME}. DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
