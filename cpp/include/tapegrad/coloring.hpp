// Sparsity patterns and their colouring, for the compressed computation of sparse Jacobians and
// Hessians: tapegrad::Pattern, color_columns(), color_symmetric() and recover_symmetric().
#pragma once

#include "tapegrad/detail/sparse/coloring.hpp"
