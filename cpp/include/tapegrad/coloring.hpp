// Colouring of sparse Jacobians and Hessians, as doubles: tapegrad::Pattern, color_columns and
// color_symmetric.
#pragma once

#include "tapegrad/detail/sparse/coloring.hpp"
