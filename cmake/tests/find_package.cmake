# cmake -DBUILD=... -P find_package.cmake: installs the build tree to a temporary prefix, builds the
# consumer against it by find_package, and runs it.
set(work ${BUILD}/install-test)
file(REMOVE_RECURSE ${work})
# DESTDIR from the environment would move the prefix away.
unset(ENV{DESTDIR})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${ARGN}: exit ${code}\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)
file(GLOB_RECURSE tests_installed ${work}/prefix/*_test.cc)
if(tests_installed)
  message(FATAL_ERROR "installed, but not part of the interface: ${tests_installed}")
endif()
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${work}/consumer -G ${GENERATOR}
    -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${work}/prefix
    -DRINGFENCE_MODULES=${MODULES} -DRINGFENCE_VERSION=${VERSION})
run(${CMAKE_COMMAND} --build ${work}/consumer)
# It judges a policy for real. Exit 4: this machine can run no case, and each says why.
execute_process(COMMAND ${work}/consumer/consumer docker-default "uts.*"
  RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
if(NOT (code EQUAL 0 AND out MATCHES "held uts.hostname seccomp")
   AND NOT (code EQUAL 4 AND out MATCHES "skipped uts.hostname"))
  message(FATAL_ERROR "the consumer: exit ${code}\n${out}")
endif()
file(REMOVE_RECURSE ${work})
