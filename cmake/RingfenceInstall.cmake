# Installs the modules, their headers and a package file, so that another project can say
#
#   find_package(ringfence REQUIRED)
#   target_link_libraries(mine PRIVATE ringfence::policy)
#
# Headers keep their tree below include/ringfence: #include "harness/policy/policy.h".
# Included at the end of the root CMakeLists.txt: ringfence_module() has filled the global
# properties RINGFENCE_MODULES and RINGFENCE_MODULE_DIRS by then.

include(CMakePackageConfigHelpers)

get_property(ringfence_modules GLOBAL PROPERTY RINGFENCE_MODULES)
get_property(ringfence_module_dirs GLOBAL PROPERTY RINGFENCE_MODULE_DIRS)
list(REMOVE_DUPLICATES ringfence_module_dirs)

# What a user of the headers needs; warnings as errors are our own business.
set_target_properties(ringfence_options PROPERTIES EXPORT_NAME options)
install(TARGETS ringfence_options ${ringfence_modules} EXPORT ringfence_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/ringfence)
foreach(directory IN LISTS ringfence_module_dirs)
  file(RELATIVE_PATH relative ${PROJECT_SOURCE_DIR} ${directory})
  install(DIRECTORY ${directory}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ringfence/${relative}
          FILES_MATCHING PATTERN "*.h")
endforeach()
# The plain-C contract with the inmate is part of the interface.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/probes/inmate/
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ringfence/probes/inmate
        FILES_MATCHING PATTERN "abi.h")
# What a user's own probe is compiled with (docs/recipes/probe.md).
foreach(header probe.h probe_abi.h abi.h kernel_types.h security_hooks.h)
  install(FILES ${PROJECT_SOURCE_DIR}/probes/bpf/${header}
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ringfence/probes/bpf)
endforeach()

set(ringfence_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ringfence)
install(EXPORT ringfence_targets NAMESPACE ringfence:: DESTINATION ${ringfence_package_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/ringfence-config.cmake.in
  ${PROJECT_BINARY_DIR}/ringfence-config.cmake
  INSTALL_DESTINATION ${ringfence_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ringfence-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ringfence-config.cmake
              ${PROJECT_BINARY_DIR}/ringfence-config-version.cmake
        DESTINATION ${ringfence_package_dir})

# The programs, where they are built.
foreach(program ringfence ringfence-oci)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

if(RINGFENCE_TESTS)
  # Every module has to be named by the consumer: it links them all.
  set(aliases ${ringfence_modules})
  list(TRANSFORM aliases REPLACE "^ringfence_" "ringfence::")
  string(REPLACE ";" "," aliases "${aliases}")
  add_test(NAME install.find_package
           COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DCXX=${CMAKE_CXX_COMPILER}
                   -DGENERATOR=${CMAKE_GENERATOR} -DMODULES=${aliases}
                   -DVERSION=${PROJECT_VERSION}
                   -P ${PROJECT_SOURCE_DIR}/cmake/tests/find_package.cmake)
  set_tests_properties(install.find_package PROPERTIES TIMEOUT 300)
endif()
