// The training stage that runs a chain of gradient transformations
// (krylov/gradient_transforms.h) on the arena's gradient, l2's term included.
#pragma once

#include <memory>
#include <vector>

#include "krylov/gradient_transforms.h"
#include "training/stage.h"

namespace krylov {

template <Scalar T>
class GradientChainStage final : public GradientStage<T> {
 public:
  static Status create(const Network<T>& network, const std::vector<GradientTransformSpec>& specs,
                       std::unique_ptr<GradientChainStage>& out);

  void apply(const T* parameters, T* gradient, const Member& member) noexcept override {
    chain_->apply(parameters, gradient, member);
  }
  void begin() noexcept override { chain_->begin(); }
  bool finite() const noexcept override { return chain_->finite(); }
  void end() noexcept override { chain_->end(); }
  // By names such as `gradient.0.positive`: the transformation's place in the chain, and what it is.
  void save(TrainingState& state) const override;
  Status restore(const TrainingState& state) override;
  void describe(StepNumbers& numbers) const override;

 private:
  GradientChainStage(const Network<T>& network, std::unique_ptr<GradientChain<T>> chain)
      : network_(&network), chain_(std::move(chain)) {}

  const Network<T>* network_;
  std::unique_ptr<GradientChain<T>> chain_;
};

}  // namespace krylov
