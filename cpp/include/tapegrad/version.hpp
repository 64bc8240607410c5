// The one place where the version is written: CMake and the Python package read it here.
#pragma once

#define TAPEGRAD_VERSION "0.1.0"

#define TAPEGRAD_VERSION_MAJOR 0
#define TAPEGRAD_VERSION_MINOR 1
#define TAPEGRAD_VERSION_PATCH 0

// For `#if TAPEGRAD_VERSION_NUMBER >= 10203`, which is 1.2.3 or later.
#define TAPEGRAD_VERSION_NUMBER \
  (TAPEGRAD_VERSION_MAJOR * 10000 + TAPEGRAD_VERSION_MINOR * 100 + TAPEGRAD_VERSION_PATCH)
