#include "training/gradient_chain_stage.h"

#include <algorithm>
#include <cmath>

namespace krylov {

namespace {

constexpr char kPrefix[] = "gradient.";

}  // namespace

template <Scalar T>
Status GradientChainStage<T>::create(const Network<T>& network, const std::vector<GradientTransformSpec>& specs,
                                     std::unique_ptr<GradientChainStage>& out) {
  std::unique_ptr<GradientChain<T>> chain;
  if (Status s = GradientChain<T>::create(specs, GradientLayout(network), chain); !s.ok()) return s;
  out.reset(new GradientChainStage(network, std::move(chain)));
  return Status::success();
}

template <Scalar T>
void GradientChainStage<T>::save(TrainingState& state) const {
  const GradientMemory<T> memory = chain_->memory();
  for (const auto& [name, values] : memory.arrays) {
    std::vector<double> flat(static_cast<std::size_t>(network_->parameter_count()));
    network_->template to_public<double>(values, flat);
    state.names.push_back(kPrefix + name);
    state.arrays.push_back(std::move(flat));
  }
  for (const auto& field : memory.plain) state.plain.emplace_back(kPrefix + field.name, *field.values);
}

template <Scalar T>
Status GradientChainStage<T>::restore(const TrainingState& state) {
  const GradientMemory<T> memory = chain_->memory();
  std::vector<const std::vector<double>*> arrays, plain;
  for (const auto& [name, values] : memory.arrays) {
    const auto at = std::find(state.names.begin(), state.names.end(), kPrefix + name);
    if (at == state.names.end()) {
      return Status::error(ErrorCode::kState, "state.optimizer.values", "the arrays of this chain of transformations");
    }
    arrays.push_back(&state.arrays[static_cast<std::size_t>(at - state.names.begin())]);
    const auto size = static_cast<std::int64_t>(arrays.back()->size());
    if (size != network_->parameter_count()) {
      return Status::error(ErrorCode::kShape, "state.optimizer.values", "one value a parameter", size,
                           network_->parameter_count());
    }
  }
  for (const auto& field : memory.plain) {
    const auto at = std::find_if(state.plain.begin(), state.plain.end(),
                                 [&](const auto& entry) { return entry.first == kPrefix + field.name; });
    if (at == state.plain.end() || !field.accepts(at->second)) {
      return Status::error(ErrorCode::kState, "state.optimizer.arrays", "the arrays of this chain of transformations");
    }
    plain.push_back(&at->second);
  }
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    network_->template to_arena<double>(*arrays[i], memory.arrays[i].second);
  }
  for (std::size_t i = 0; i < plain.size(); ++i) *memory.plain[i].values = *plain[i];
  chain_->restored(state.updates);
  return Status::success();
}

template <Scalar T>
void GradientChainStage<T>::describe(StepNumbers& numbers) const {
  numbers.numbers.emplace_back("gradientNorm", chain_->norm_before());
  numbers.numbers.emplace_back("transformedGradientNorm", chain_->norm_after());
  const double factor = chain_->smallest_factor();
  if (!std::isnan(factor)) numbers.numbers.emplace_back("smallestClippingFactor", factor);
}

template class GradientChainStage<float>;
template class GradientChainStage<double>;

}  // namespace krylov
