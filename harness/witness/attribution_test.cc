#include "harness/witness/attribution.h"

#include <gtest/gtest.h>
