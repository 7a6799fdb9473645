//! The fused operations on autodiff's tape, with backward passes of their own.
//!
//! Left out: gradients of the mask and the lengths, which are constants here.

use super::{KernelGradients, Kernels, OptionalFloat, OptionalInt};
use crate::options::{Activation, AttentionOptions, SoftmaxOptions};
use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::{FloatTensor, IntTensor},
};

/// Puts one operation on the tape: what it keeps, its output, its gradients by each parent.
///
/// A gradient is computed only for parents that are tracked.
macro_rules! record {
    ($name:ident<$backend:ident, $strategy:ident, $parents:literal>,
     state $state:ty = $kept:expr,
     parents [$($parent:ident),+],
     output $output:expr,
     backward |$saved:pat_param, $gradient:ident, $wanted:ident| $gradients:expr) => {{
        #[derive(Debug)]
        struct $name;
        impl<$backend: KernelGradients> Backward<$backend, $parents> for $name {
            type State = $state;
            fn backward(
                self,
                ops: Ops<Self::State, $parents>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let $gradient = grads.consume::<$backend>(&ops.node);
                let $wanted = ops.parents.each_ref().map(Option::is_some);
                let $saved = ops.state;
                let gradients: [Option<FloatTensor<$backend>>; $parents] = $gradients;
                for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
                    if let (Some(parent), Some(gradient)) = (parent, gradient) {
                        grads.register::<$backend>(parent.id, gradient);
                    }
                }
            }
        }
        let prepared = $name.prepare::<$strategy>([$($parent.node()),+]);
        $(let $parent = $parent.into_primitive();)+
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let kept = $kept;
                prepared.finish(kept, $output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish($output),
        }
    }};
}

impl<B: Kernels + KernelGradients, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn fused_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        record!(Activate<B, C, 1>,
        state (FloatTensor<B>, Activation) = (x.clone(), activation),
        parents [x],
        output B::fused_activate(x, activation),
        backward |(x, activation), gradient, _wanted| {
            [Some(B::activate_gradient(x, gradient, activation))]
        })
    }

    fn fused_gate(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        record!(Gate<B, C, 2>,
        state (FloatTensor<B>, FloatTensor<B>, Activation)
            = (gate.clone(), up.clone(), activation),
        parents [gate, up],
        output B::fused_gate(gate, up, activation),
        backward |(gate, up, activation), gradient, wanted| {
            let by_up = wanted[1].then(|| {
                let opened = super::portable::activate::<B>(gate.clone(), activation);
                B::float_mul(opened, gradient.clone())
            });
            let by_gate = wanted[0].then(|| {
                B::activate_gradient(gate, B::float_mul(gradient, up), activation)
            });
            [by_gate, by_up]
        })
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        record!(LayerNorm<B, C, 3>,
        state (FloatTensor<B>, FloatTensor<B>, f32) = (x.clone(), gain.clone(), epsilon),
        parents [x, gain, bias],
        output B::fused_layer_norm(x, gain, bias, epsilon),
        backward |(x, gain, epsilon), gradient, _wanted| {
            B::layer_norm_gradient(x, gain, gradient, epsilon).map(Some)
        })
    }

    fn fused_rms_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        record!(RmsNorm<B, C, 2>,
        state (FloatTensor<B>, FloatTensor<B>, f32) = (x.clone(), gain.clone(), epsilon),
        parents [x, gain],
        output B::fused_rms_norm(x, gain, epsilon),
        backward |(x, gain, epsilon), gradient, _wanted| {
            B::rms_norm_gradient(x, gain, gradient, epsilon).map(Some)
        })
    }

    fn fused_softmax(
        x: FloatTensor<Self>,
        mask: OptionalFloat<Self>,
        options: SoftmaxOptions,
    ) -> FloatTensor<Self> {
        let mask = match mask {
            OptionalFloat::Given(mask) => OptionalFloat::Given(mask.into_primitive()),
            OptionalFloat::Absent => OptionalFloat::Absent,
        };
        let raw = x.primitive().clone();
        let probability = B::fused_softmax(raw.clone(), mask, options);
        record!(Softmax<B, C, 1>,
        state (FloatTensor<B>, FloatTensor<B>, SoftmaxOptions)
            = (raw, probability.clone(), options),
        parents [x],
        output { drop(x); probability },
        backward |(x, probability, options), gradient, _wanted| {
            [Some(B::softmax_gradient(x, probability, gradient, options))]
        })
    }

    fn fused_log_softmax(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let output = B::fused_log_softmax(x.primitive().clone());
        record!(LogSoftmax<B, C, 1>,
        state FloatTensor<B> = output.clone(),
        parents [x],
        output { drop(x); output },
        backward |output, gradient, _wanted| {
            [Some(B::log_softmax_gradient(output, gradient))]
        })
    }

    fn fused_cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        record!(CrossEntropy<B, C, 1>,
        state (FloatTensor<B>, IntTensor<B>) = (logits.clone(), targets.clone()),
        parents [logits],
        output B::fused_cross_entropy(logits, targets),
        backward |(logits, targets), gradient, _wanted| {
            [Some(B::cross_entropy_gradient(logits, targets, gradient))]
        })
    }

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        lengths: OptionalInt<Self>,
        options: AttentionOptions,
    ) -> FloatTensor<Self> {
        let lengths = lengths.into_option();
        record!(Attention<B, C, 3>,
        state (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Option<IntTensor<B>>, AttentionOptions)
            = (query.clone(), key.clone(), value.clone(), lengths.clone(), options),
        parents [query, key, value],
        output B::fused_attention(query, key, value, optional(lengths), options),
        backward |(query, key, value, lengths, options), gradient, _wanted| {
            B::attention_gradient(query, key, value, lengths, gradient, options).map(Some)
        })
    }

    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: OptionalFloat<Self>,
    ) -> FloatTensor<Self> {
        let Some(bias) = bias.into_option() else {
            return record!(LinearMap<B, C, 2>,
                state (FloatTensor<B>, FloatTensor<B>) = (x.clone(), weight.clone()),
                parents [x, weight],
                output B::fused_linear(x, weight, OptionalFloat::Absent),
                backward |(x, weight), gradient, wanted| linear_gradients::<B>(x, weight, gradient, wanted));
        };
        record!(Linear<B, C, 3>,
        state (FloatTensor<B>, FloatTensor<B>) = (x.clone(), weight.clone()),
        parents [x, weight, bias],
        output B::fused_linear(x, weight, OptionalFloat::Given(bias)),
        backward |(x, weight), gradient, wanted| {
            let by_bias = wanted[2].then(|| B::sum_rows(gradient.clone()));
            let [by_x, by_weight] =
                linear_gradients::<B>(x, weight, gradient, [wanted[0], wanted[1]]);
            [by_x, by_weight, by_bias]
        })
    }
}

/// The wanted of the gradients by input and weight.
fn linear_gradients<B: KernelGradients>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    wanted: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let by_weight = wanted[1].then(|| B::linear_weight_gradient(x, gradient.clone()));
    let by_x = wanted[0].then(|| B::linear_input_gradient(weight, gradient));
    [by_x, by_weight]
}

fn optional<B: Backend>(tensor: Option<IntTensor<B>>) -> OptionalInt<B> {
    match tensor {
        Some(tensor) => OptionalInt::Given(tensor),
        None => OptionalInt::Absent,
    }
}
