#include "tapegrad.hpp"

#include <tapegrad/version.hpp>

#include "../by_hand.hpp"
#include "../measure.hpp"

int main(int argc, char** argv) {
  return bench::run<bench::TraceRound, bench::ByHand>(argc, argv, TAPEGRAD_VERSION);
}
