// Products of a matrix with few rows of inputs: weights, or the keys and values of a cache. The matrix is read once,
// row by row as it lies in memory, which is what processors fetch ahead best; `gemv.py` says where that pays and builds
// this file.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace {

using OptionalTensor = std::optional<at::Tensor>;

constexpr int64_t kBytesATask = 1 << 15;  // of weights: fewer are not worth another thread
constexpr int32_t kOffset = 128;          // of rounded inputs, unsigned as the processor's instruction has them
constexpr float kSmallest = 1e-12f;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

at::Tensor outputs_for(const at::Tensor& rows, const at::Tensor& weight) {
  auto sizes = rows.sizes().vec();
  sizes.back() = weight.size(0);
  return at::empty(sizes, rows.options());
}

template <typename Weight>
inline float dot(const Weight* weights, const float* inputs, int64_t width) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) sum += static_cast<float>(weights[i]) * inputs[i];
  return sum;
}

// e to the power of numbers of at most 0, to a unit in the last place or two, in steps that compilers can take for many
// numbers at a time: 2^n by its bits, times what is left by a polynomial.
inline float exp_of_negative(float x) {
  constexpr float kLeast = -87.0f;  // below, numbers would lose their digits
  const float bounded = x < kLeast ? kLeast : x;
  const float whole = std::nearbyint(bounded * 1.44269504f);
  const float left = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;  // of ln 2 in two parts
  float power = 1.0f / 5040;
  for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    power = power * left + factor;
  }
  return power * std::bit_cast<float>((static_cast<int32_t>(whole) + 127) << 23);
}

// Compilers know this loop for VNNI's instruction, unless a pragma tells them how to go about it.
inline int32_t dot(const int8_t* weights, const uint8_t* inputs, int64_t width) {
  int32_t sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += static_cast<int32_t>(weights[i]) * static_cast<int32_t>(inputs[i]);
  return sum;
}

// Calls write(row, output, sum) with sum = rows[row] . weight[output].
template <typename Input, typename Weight, typename Write>
void multiply(const Input* rows, const Weight* weight, int64_t count, int64_t width, int64_t outputs, Write write) {
  const int64_t grain = std::max<int64_t>(1, kBytesATask / (width * static_cast<int64_t>(sizeof(Weight))));
  at::parallel_for(0, outputs, grain, [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end; ++output) {
      const Weight* const weights = weight + output * width;
      for (int64_t row = 0; row < count; ++row) {
        write(row, output, dot(weights, rows + row * width, width));
      }
    }
  });
}

template <typename Number>
at::Tensor multiply_floats(const at::Tensor& rows, const at::Tensor& weight, const OptionalTensor& bias) {
  const int64_t width = weight.size(1), outputs = weight.size(0), count = rows.numel() / width;
  const auto inputs = rows.to(at::kFloat).contiguous();
  auto result = outputs_for(rows, weight);
  const Number* const added = bias ? bias->const_data_ptr<Number>() : nullptr;
  Number* const to = result.mutable_data_ptr<Number>();
  multiply(inputs.const_data_ptr<float>(), weight.const_data_ptr<Number>(), count, width, outputs,
           [=](int64_t row, int64_t output, float sum) {
             to[row * outputs + output] = sum + (added ? static_cast<float>(added[output]) : 0.0f);
           });
  return result;
}

// rows (..., i), weight (o, i), bias (o), all fp32 or all bf16, to (..., o).
at::Tensor gemv(const at::Tensor& rows, const at::Tensor& weight, const OptionalTensor& bias) {
  if (weight.scalar_type() == at::kBFloat16) return multiply_floats<at::BFloat16>(rows, weight, bias);
  return multiply_floats<float>(rows, weight, bias);
}

// rows (..., i) fp32, rounded to -levels..levels by the largest of each; weight (o, i) int8; sums (o) int32, of the
// weights of an output; scales (o) and bias (o) fp32; to (..., o).
at::Tensor gemv_int8(const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& sums,
                     const at::Tensor& scales, const OptionalTensor& bias, double levels) {
  const int64_t width = weight.size(1), outputs = weight.size(0), count = rows.numel() / width;
  const auto inputs = rows.contiguous();
  const float* const values = inputs.const_data_ptr<float>();
  std::vector<uint8_t> rounded(count * width);
  std::vector<float> largest(count);
  for (int64_t row = 0; row < count; ++row) {
    const float* const from = values + row * width;
    float most = kSmallest, broken = 0;
#pragma omp simd reduction(max : most) reduction(+ : broken)
    for (int64_t i = 0; i < width; ++i) {
      most = std::max(most, std::abs(from[i]));
      broken += from[i] * 0.0f;  // not a number, or 0
    }
    largest[row] = most + broken;
    if (!std::isfinite(largest[row])) continue;  // its outputs shall not be finite either
    const float scale = static_cast<float>(levels) / most;
    for (int64_t i = 0; i < width; ++i) {
      rounded[row * width + i] = static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(from[i] * scale)) + kOffset);
    }
  }
  auto result = outputs_for(rows, weight);
  const int32_t* const offsets = sums.const_data_ptr<int32_t>();
  const float* const factors = scales.const_data_ptr<float>();
  const float* const added = bias ? bias->const_data_ptr<float>() : nullptr;
  float* const to = result.mutable_data_ptr<float>();
  const auto write = [&](int64_t row, int64_t output, int32_t sum) {
    const float product = static_cast<float>(sum - kOffset * offsets[output]) * (factors[output] * largest[row]);
    to[row * outputs + output] = product + (added ? added[output] : 0.0f);
  };
  multiply(rounded.data(), weight.const_data_ptr<int8_t>(), count, width, outputs, write);
  return result;
}

// One head: scores of m queries, already scaled, with t keys, their softmax, and the mixtures of values.
template <typename Number>
void attend(const float* queries, const Number* keys, const Number* values, int64_t key_stride, int64_t value_stride,
            const bool* visible, int64_t count, int64_t steps, int64_t width, float* scores, float* mixed) {
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t query = 0; query < count; ++query) {
      scores[query * steps + step] = dot(keys + step * key_stride, queries + query * width, width);
    }
  }
  for (int64_t query = 0; query < count; ++query) {
    float* const row = scores + query * steps;
    float most = kLowest, sum = 0;
    for (int64_t step = 0; visible && step < steps; ++step) {
      if (!visible[query * steps + step]) row[step] = kLowest;
    }
#pragma omp simd reduction(max : most)
    for (int64_t step = 0; step < steps; ++step) most = std::max(most, row[step]);
#pragma omp simd
    for (int64_t step = 0; step < steps; ++step) row[step] = exp_of_negative(row[step] - most);
#pragma omp simd reduction(+ : sum)
    for (int64_t step = 0; step < steps; ++step) sum += row[step];
#pragma omp simd
    for (int64_t step = 0; step < steps; ++step) row[step] /= sum;
  }
  std::fill_n(mixed, count * width, 0.0f);
  for (int64_t step = 0; step < steps; ++step) {
    const Number* const value = values + step * value_stride;
    for (int64_t query = 0; query < count; ++query) {
      const float weight = scores[query * steps + step];
      float* const mixture = mixed + query * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) mixture[i] += weight * static_cast<float>(value[i]);
    }
  }
}

template <typename Number>
at::Tensor attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                     const OptionalTensor& visible) {
  const int64_t batch = query.size(0), heads = query.size(1), count = query.size(2), width = query.size(3);
  const int64_t steps = keys.size(2);
  const Number* const from = query.const_data_ptr<Number>();
  const Number* const first_key = keys.const_data_ptr<Number>();
  const Number* const first_value = values.const_data_ptr<Number>();
  const auto mask = visible ? visible->contiguous() : at::Tensor();
  const bool* const seen = visible ? mask.const_data_ptr<bool>() : nullptr;
  auto result = at::empty({batch, count, heads, width}, query.options());
  Number* const to = result.mutable_data_ptr<Number>();
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  const int64_t bytes = std::max<int64_t>(1, 2 * steps * width * static_cast<int64_t>(sizeof(Number)));
  at::parallel_for(0, batch * heads, std::max<int64_t>(1, kBytesATask / bytes), [&](int64_t begin, int64_t end) {
    std::vector<float> queries(count * width), scores(count * steps), mixed(count * width);
    for (int64_t each = begin; each < end; ++each) {
      const int64_t image = each / heads, head = each % heads;
      const Number* const asked = from + image * query.stride(0) + head * query.stride(1);
      for (int64_t row = 0; row < count; ++row) {
        for (int64_t i = 0; i < width; ++i) {
          queries[row * width + i] = static_cast<float>(asked[row * query.stride(2) + i]) * scale;
        }
      }
      attend(queries.data(), first_key + image * keys.stride(0) + head * keys.stride(1),
             first_value + image * values.stride(0) + head * values.stride(1), keys.stride(2), values.stride(2), seen,
             count, steps, width, scores.data(), mixed.data());
      for (int64_t row = 0; row < count; ++row) {
        Number* const output = to + ((image * count + row) * heads + head) * width;
        for (int64_t i = 0; i < width; ++i) output[i] = static_cast<Number>(mixed[row * width + i]);
      }
    }
  });
  return result.transpose(1, 2);
}

// query (b, heads, m, e), keys and values (b, heads, t, e), all fp32 or all bf16, each row of e in one piece, and
// visible (m, t), which keys each query sees, none for all; to (b, heads, m, e), laid out as (b, m, heads, e).
at::Tensor gemv_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                          const OptionalTensor& visible) {
  if (query.scalar_type() == at::kBFloat16) return attention<at::BFloat16>(query, keys, values, visible);
  return attention<float>(query, keys, values, visible);
}

}  // namespace

TORCH_LIBRARY(vqgen, library) {
  library.def("gemv(Tensor rows, Tensor weight, Tensor? bias) -> Tensor");
  library.def("gemv_int8(Tensor rows, Tensor weight, Tensor sums, Tensor scales, Tensor? bias, float levels) -> Tensor");
  library.def("gemv_attention(Tensor query, Tensor keys, Tensor values, Tensor? visible) -> Tensor");
}

TORCH_LIBRARY_IMPL(vqgen, CPU, library) {
  library.impl("gemv", gemv);
  library.impl("gemv_int8", gemv_int8);
  library.impl("gemv_attention", gemv_attention);
}
