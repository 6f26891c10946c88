namespace KvStore.TestKit.Histories;

/// <summary>Says when a search has to give up: at its deadline, on cancellation, or when it has become too large for memory.</summary>
internal sealed class SearchBudget(LinearizabilityOptions options, CancellationToken cancel)
{
    /// <summary>Reading a clock costs as much as a few steps: it is looked at once in so many.</summary>
    private const int StepsBetweenLooks = 1024;
    private readonly long _start = options.Time.GetTimestamp();
    private int _steps;

    /// <summary>Why the search was given up, or null.</summary>
    public string? Reason { get; private set; }

    /// <summary>Another key, another search: it has its own configurations, while the time goes on.</summary>
    public void BeginSearch()
    {
        Reason = null;
        _steps = 0;
    }

    public bool IsSpent(int configurations)
    {
        if (Reason is null && _steps++ % StepsBetweenLooks == 0)
        {
            Reason = Look(configurations);
        }

        return Reason is not null;
    }

    private string? Look(int configurations)
    {
        if (cancel.IsCancellationRequested)
        {
            return "The check was cancelled";
        }

        if (configurations >= options.MaxConfigurations)
        {
            return $"The search was given up after {options.MaxConfigurations} configurations";
        }

        return options.Time.GetElapsedTime(_start) >= options.TimeLimit
            ? $"The search was given up after {options.TimeLimit.TotalSeconds:0.###} seconds"
            : null;
    }
}
