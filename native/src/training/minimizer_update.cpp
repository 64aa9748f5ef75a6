#include "training/minimizer_update.h"

#include <algorithm>
#include <cmath>

namespace krylov {

template <Scalar T>
Procedure<void> run_update(Session& session, Objective<T>& objective, Minimizer<T>& minimizer, T* x, const T* before,
                           UpdateResult& result) {
  const std::int64_t size = objective.size(), done = minimizer.updates();
  result = {};
  objective.begin(done);
  result.report = co_await minimizer.update(session, objective, x);
  const bool converged = result.report.converged[0] != '\0';
  if (minimizer.updates() == done && session.stopped()) {
    result.outcome = UpdateOutcome::kStopped;
  } else if (minimizer.updates() == done && !converged) {
    result.outcome = UpdateOutcome::kNotFinite;
  } else if (!std::isfinite(result.report.loss)) {
    result.outcome = UpdateOutcome::kNotFinite;
  } else {
    const T* bad = std::find_if(x, x + size, [](T value) { return !std::isfinite(value); });
    if (bad != x + size) result.not_finite_at = bad - x;
    result.outcome = bad != x + size ? UpdateOutcome::kNotFinite
                     : converged     ? UpdateOutcome::kConverged
                                     : UpdateOutcome::kUpdated;
  }
  if (result.outcome == UpdateOutcome::kNotFinite) std::copy(before, before + size, x);
}

template <Scalar T>
std::string where_not_finite(const UpdateResult& result, const Network<T>& network) {
  if (result.not_finite_at < 0) return std::isfinite(result.report.loss) ? "gradient" : "loss";
  for (const TensorInfo& tensor : network.tensors()) {
    const ParameterBlock& block = network.blocks()[static_cast<std::size_t>(tensor.block)];
    const std::int64_t at = result.not_finite_at - block.offset;
    if (at < 0 || at >= block.panels * block.rows * kPanel<T>) continue;
    const std::int64_t row = at / kPanel<T> % block.rows;
    if (row >= tensor.first_row && row < tensor.first_row + tensor.row_count) return tensor.name;
  }
  return "parameters";
}

namespace {

// Where each parameter stands in the arena: values may have more bits than T, so they cannot be reordered as T.
template <Scalar T>
std::vector<std::size_t> arena_places(const Network<T>& network) {
  constexpr std::size_t kDigit = std::size_t(1) << 20;  // exact in either type
  AlignedBuffer<T> arena(static_cast<std::size_t>(network.arena_size()));
  std::vector<double> digits(static_cast<std::size_t>(network.parameter_count()));
  std::vector<std::size_t> places(digits.size());
  for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = static_cast<T>(i / kDigit);
  network.template to_public<double>(arena.span(), digits);
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::size_t>(digits[i]) * kDigit;
  for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = static_cast<T>(i % kDigit);
  network.template to_public<double>(arena.span(), digits);
  for (std::size_t i = 0; i < places.size(); ++i) places[i] += static_cast<std::size_t>(digits[i]);
  return places;
}

}  // namespace

template <Scalar T>
TrainingState to_training_state(const MinimizerState& state, const Network<T>& network) {
  TrainingState out;
  out.wide = true;
  out.updates = state.updates;
  out.numbers = state.numbers;
  const std::vector<std::size_t> places = arena_places(network);
  for (const MinimizerState::Vector& vector : state.vectors) {
    if (vector.plain) {
      out.plain.emplace_back(vector.name, vector.values);
      continue;
    }
    std::vector<double> values(places.size());
    for (std::size_t i = 0; i < places.size(); ++i) values[i] = vector.values[places[i]];
    out.names.push_back(vector.name);
    out.arrays.push_back(std::move(values));
  }
  return out;
}

template <Scalar T>
Status to_minimizer_state(const TrainingState& state, const Network<T>& network, MinimizerState& out) {
  out.updates = state.updates;
  out.numbers = state.numbers;
  out.vectors.clear();
  const std::vector<std::size_t> places = arena_places(network);
  for (std::size_t i = 0; i < state.names.size(); ++i) {
    const auto size = static_cast<std::int64_t>(state.arrays[i].size());
    if (size != network.parameter_count()) {
      return Status::error(ErrorCode::kShape, "state.optimizer", "one value a parameter", size,
                           network.parameter_count());
    }
    std::vector<double> values(static_cast<std::size_t>(network.arena_size()));
    for (std::size_t p = 0; p < places.size(); ++p) values[places[p]] = state.arrays[i][p];
    out.vectors.push_back({state.names[i], false, std::move(values)});
  }
  for (const auto& [name, values] : state.plain) out.vectors.push_back({name, true, values});
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                                              \
  template Procedure<void> run_update(Session&, Objective<T>&, Minimizer<T>&, T*, const T*, UpdateResult&); \
  template std::string where_not_finite(const UpdateResult&, const Network<T>&);                            \
  template TrainingState to_training_state(const MinimizerState&, const Network<T>&);                       \
  template Status to_minimizer_state(const TrainingState&, const Network<T>&, MinimizerState&);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
