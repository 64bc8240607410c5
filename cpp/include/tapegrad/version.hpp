// The one place where the version is written: CMake and the Python package read it here.
#pragma once

#define TAPEGRAD_VERSION "0.1.0"
