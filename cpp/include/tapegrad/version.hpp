// The version of tapegrad. CMake and the Python package read it from this file.
#pragma once

/// The version as a string.
#define TAPEGRAD_VERSION "0.1.0"

/// The parts of the version.
#define TAPEGRAD_VERSION_MAJOR 0
#define TAPEGRAD_VERSION_MINOR 1
#define TAPEGRAD_VERSION_PATCH 0

/// The version as a number for the preprocessor. `#if TAPEGRAD_VERSION_NUMBER >= 10203` tests for
/// version 1.2.3 or later.
#define TAPEGRAD_VERSION_NUMBER \
  (TAPEGRAD_VERSION_MAJOR * 10000 + TAPEGRAD_VERSION_MINOR * 100 + TAPEGRAD_VERSION_PATCH)
