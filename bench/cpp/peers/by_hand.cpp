#include "../by_hand.hpp"

#include <tapegrad/version.hpp>

#include "../measure.hpp"
#include "tapegrad.hpp"

int main(int argc, char** argv) {
  return bench::run<bench::ByHand, bench::ValueRound>(argc, argv, TAPEGRAD_VERSION);
}
