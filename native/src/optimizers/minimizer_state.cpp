#include "krylov/minimizer.h"

namespace krylov {

double MinimizerState::number(const std::string& name, double fallback) const noexcept {
  for (const auto& [key, value] : numbers) {
    if (key == name) return value;
  }
  return fallback;
}

const MinimizerState::Vector* MinimizerState::vector(const std::string& name) const noexcept {
  for (const Vector& v : vectors) {
    if (v.name == name) return &v;
  }
  return nullptr;
}

}  // namespace krylov
