#include "optimizers/kronecker_state.h"

#include <utility>
#include <vector>

#include "curvature/kronecker.h"

namespace krylov {
namespace {

std::vector<double> joined(const KroneckerFactors& factors, std::vector<double> KroneckerFactor::*part) {
  std::vector<double> out;
  for (const KroneckerFactor& f : factors.layers) out.insert(out.end(), (f.*part).begin(), (f.*part).end());
  return out;
}

}  // namespace

void save_factors(MinimizerState& state, const std::string& prefix, const KroneckerFactors& factors) {
  state.vectors.push_back({prefix + "InputFactors", true, joined(factors, &KroneckerFactor::input)});
  state.vectors.push_back({prefix + "OutputFactors", true, joined(factors, &KroneckerFactor::output)});
  if (!factors.diagonal.empty()) state.vectors.push_back({prefix + "Diagonal", false, factors.diagonal});
}

template <Scalar T>
Status restore_factors(const MinimizerState& state, const std::string& prefix, const Network<T>& network,
                       std::shared_ptr<const KroneckerFactors>& out) {
  const MinimizerState::Vector* input = state.vector(prefix + "InputFactors");
  const MinimizerState::Vector* output = state.vector(prefix + "OutputFactors");
  if (input == nullptr && output == nullptr) return Status::success();
  KroneckerFactors layers{kronecker_layers(network), {}};
  std::int64_t inputs = 0, outputs = 0;
  for (const KroneckerFactor& f : layers.layers) inputs += f.inputs * f.inputs, outputs += f.outputs * f.outputs;
  const auto length = [](const MinimizerState::Vector* v) {
    return v == nullptr ? std::int64_t{0} : static_cast<std::int64_t>(v->values.size());
  };
  if (input == nullptr || output == nullptr || length(input) != inputs || length(output) != outputs) {
    return Status::error(ErrorCode::kState, "factors", "those of this network", length(input), length(output));
  }
  auto in = input->values.begin(), to = output->values.begin();
  for (KroneckerFactor& f : layers.layers) {
    f.input.assign(in, in + f.inputs * f.inputs), in += f.inputs * f.inputs;
    f.output.assign(to, to + f.outputs * f.outputs), to += f.outputs * f.outputs;
  }
  if (const MinimizerState::Vector* diagonal = state.vector(prefix + "Diagonal")) {
    if (length(diagonal) != network.arena_size()) {
      return Status::error(ErrorCode::kState, "diagonal", "a vector as long as the parameters", network.arena_size(),
                           length(diagonal));
    }
    layers.diagonal = diagonal->values;
  }
  out = std::make_shared<const KroneckerFactors>(std::move(layers));
  return Status::success();
}

template Status restore_factors(const MinimizerState&, const std::string&, const Network<float>&,
                                std::shared_ptr<const KroneckerFactors>&);
template Status restore_factors(const MinimizerState&, const std::string&, const Network<double>&,
                                std::shared_ptr<const KroneckerFactors>&);

}  // namespace krylov
