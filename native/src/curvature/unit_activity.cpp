#include "krylov/unit_activity.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "curvature/lead.h"
#include "curvature/network_point.h"
#include "curvature/point_task.h"
#include "kernels/kernel_table.h"
#include "krylov/per_sample.h"
#include "network/layer.h"

namespace krylov {
namespace {

// Counts are whole numbers: their sums do not depend on who adds them.
template <Scalar T>
class ActivityTask final : public PointTask<T> {
 public:
  struct Place {
    int buffer;
    std::vector<std::atomic<std::int64_t>> flat;
    explicit Place(int b, std::int64_t width) : buffer(b), flat(static_cast<std::size_t>(width)) {}
  };

  ActivityTask(const Network<T>& network, double threshold, std::vector<Place>& places)
      : network_(network), threshold_(threshold), places_(places) {}
  PointNeeds<T> needs() const noexcept override { return {.level = PointLevel::kForward}; }

  void rows(const PointPart<T>& part, int, std::int64_t first, std::int64_t count) noexcept override {
    constexpr std::int64_t kColumns = 8 * kPanel<T>;
    alignas(kCacheLine) T slopes[kColumns];
    const Workspace<T>& w = *part.pass.workspace;
    for (Place& place : places_) {
      const BufferInfo& info = network_.buffers()[static_cast<std::size_t>(place.buffer)];
      const T* saved = (info.has_slope ? w.slope(place.buffer) : w.activation(place.buffer)) + first * info.ld;
      for (std::int64_t r = 0; r < count; ++r, saved += info.ld) {
        for (std::int64_t c = 0; c < info.width; c += kColumns) {
          const std::int64_t columns = std::min(kColumns, info.width - c);
          std::fill_n(slopes, kColumns, T(1));
          kernels<T>().multiply_slope(info.activation, saved + c, info.ld, slopes, kColumns, 1,
                                      round_up(columns, kPanel<T>));
          for (std::int64_t k = 0; k < columns; ++k) {
            if (std::fabs(static_cast<double>(slopes[k])) > threshold_) continue;
            place.flat[static_cast<std::size_t>(c + k)].fetch_add(1, std::memory_order_relaxed);
          }
        }
      }
    }
  }

 private:
  const Network<T>& network_;
  double threshold_;
  std::vector<Place>& places_;
};

}  // namespace

template <Scalar T>
std::vector<LayerActivity> unit_activity(NetworkPoint<T>& point, double slope_threshold) {
  const Network<T>& network = *point.network();
  const std::vector<std::string> names = group_names(network, ParameterGroups::kLayers);
  std::vector<LayerActivity> result;
  std::vector<typename ActivityTask<T>::Place> places;
  for (const auto& layer : network.layers()) {
    const BufferInfo& info = network.buffers()[static_cast<std::size_t>(layer->output)];
    if (layer->block < 0 || info.activation.kind == Activation::kIdentity) continue;
    places.emplace_back(layer->output, info.width);
    result.push_back({names[static_cast<std::size_t>(layer->block)], info.activation.kind, {}});
  }
  ActivityTask<T> task(network, slope_threshold, places);
  lead(point.threads(), [&](Team& team) { point.run(team, task); });
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (const auto& count : places[i].flat) result[i].flat.push_back(count.load(std::memory_order_relaxed));
  }
  return result;
}

template std::vector<LayerActivity> unit_activity(NetworkPoint<float>&, double);
template std::vector<LayerActivity> unit_activity(NetworkPoint<double>&, double);

}  // namespace krylov
