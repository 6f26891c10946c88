using KvStore.Client.Connections;

namespace KvStore.Client;

/// <summary>
/// What the endpoints that the client was given turned out to be, while none of them has told a topology. An endpoint that can't be reached, or is mute, may be a node that is coming up: operations wait for it.
/// One where something else answers is a stranger, and when all of them are, waiting is in vain.
/// </summary>
internal sealed class SeedFindings
{
    private const int MuteForMs = 1_000;
    private const int Named = 4;

    private readonly Lock _gate = new();
    private readonly Dictionary<Uri, Finding> _findings;
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public SeedFindings(IEnumerable<string> endpoints) =>
        _findings = endpoints.Select(endpoint => new Uri(endpoint)).Distinct().ToDictionary(seed => seed, _ => new Finding(0, null, null));

    /// <summary>Completes at the next finding.</summary>
    public Task Next
    {
        get
        {
            lock (_gate)
            {
                return _next.Task;
            }
        }
    }

    /// <summary>An attempt begins.</summary>
    public void OnAsked(Uri address, Overheard heard, long nowMs) => Change(address, finding => finding with { AskedMs = nowMs, UnderWay = heard });

    /// <summary>The attempt is over.</summary>
    public void OnFailed(Uri address, EndpointAnswer answer)
    {
        TaskCompletionSource told;
        lock (_gate)
        {
            Change(address, finding => finding with { AnsweredMs = finding.AskedMs, Answer = answer, UnderWay = null });
            (told, _next) = (_next, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        told.SetResult();
    }

    /// <summary>Not null: every endpoint was asked since then, and at each of them something answered that is no node.</summary>
    public string? OnlyStrangersSince(long sinceMs)
    {
        lock (_gate)
        {
            return _findings.Values.All(finding => finding.IsStranger && finding.AnsweredMs >= sinceMs) ? Strangers() : null;
        }
    }

    /// <summary>Why an operation that has waited for a topology until its deadline was in vain.</summary>
    public (KvCode Code, string Reason) AtDeadline(long nowMs)
    {
        lock (_gate)
        {
            if (_findings.Values.All(finding => finding.IsStranger))
            {
                return (KvCode.Unsupported, Strangers());
            }

            // Not yet asked, or asked a moment ago: it is the deadline that was short.
            bool inTrouble = _findings.Values.Any(finding => finding.Answer is not null || finding.IsMute(nowMs));
            return inTrouble
                ? (KvCode.Unavailable, $"no endpoint answered as a node before the deadline: {Describe(nowMs)}")
                : (KvCode.DeadlineExceeded, $"the deadline passed before an endpoint had answered: {Describe(nowMs)}");
        }
    }

    private string Strangers() => $"what answers is no KvStore node of this version: {Describe(nowMs: 0)}";

    private string Describe(long nowMs)
    {
        IEnumerable<string> named = _findings.Take(Named).Select(each => $"{each.Key.ToString().TrimEnd('/')} {each.Value.Words(nowMs)}");
        return string.Join("; ", named) + (_findings.Count > Named ? $"; and {_findings.Count - Named} more" : "");
    }

    private void Change(Uri address, Func<Finding, Finding> change)
    {
        lock (_gate)
        {
            if (_findings.TryGetValue(address, out Finding? finding))
            {
                _findings[address] = change(finding);
            }
        }
    }

    /// <param name="AskedMs">When the last attempt began.</param>
    /// <param name="Answer">What the last attempt that is over came to.</param>
    /// <param name="UnderWay">Not null: an attempt is under way.</param>
    private sealed record Finding(long AskedMs, EndpointAnswer? Answer, Overheard? UnderWay)
    {
        /// <summary>When the attempt began that came to <see cref="Answer"/>.</summary>
        public long AnsweredMs { get; init; }

        public bool IsStranger => Answer is { IsStranger: true };

        public bool IsMute(long nowMs) => UnderWay is { HasConnected: true } && nowMs - AskedMs >= MuteForMs;

        public string Words(long nowMs) =>
            IsStranger || !IsMute(nowMs) ? Answer?.Words ?? (UnderWay is { HasConnected: true } ? "has not answered yet" : "was not connected yet") : EndpointAnswer.Mute;
    }
}
