#include "harness/cli/commands.h"
#include "suites/suite.h"

int main(int argc, char** argv) {
  return ringfence::cli::main_of(argc, argv, {ringfence::suites::builtin});
}
