using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace KvStore.Core;

/// <summary>
/// Assertions that stay on in production. A replica whose invariant breaks stops serving rather than lie: the shard loop that hosts it catches
/// <see cref="InvariantViolationException"/>, fences the replica and reports it.
/// </summary>
public static class Invariant
{
    public static void Assert([DoesNotReturnIf(false)] bool condition, [CallerArgumentExpression(nameof(condition))] string claim = "")
    {
        if (!condition)
        {
            Fail(claim);
        }
    }

    [DoesNotReturn]
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Fail(string claim) => throw new InvariantViolationException(claim);
}

/// <summary>A claim about the state of a replica turned out to be false.</summary>
public sealed class InvariantViolationException(string claim) : Exception($"Invariant broken: {claim}");
